"""The page of `spacy tabcnn serve`, which annotates texts in the browser. Needs the extra `app`."""
