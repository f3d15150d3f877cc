"""A page in the browser that annotates what is typed into it: `spacy tabcnn serve`. Needs the extra `app`."""
