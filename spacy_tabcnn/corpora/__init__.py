"""Annotated corpora: annotation formats, .spacy files, the training reader and statistics.

One file for each annotation format: `spert`, `tablert`, `doccano`, `dygiepp`, `brat`, `prodigy`
and `labelstudio`. Each has the same parts in the same order:

1. the layout of the format, in the module's docstring;
2. `NAME_to_docs`, from the decoded content of a file to documents and a report;
3. `docs_to_NAME`, the inverse;
4. the steps of reading, with `_read_document` for one document;
5. the steps of writing, with `_render_document` for one document.

`sentence_formats` holds parts 4 and 5 of `spert` and `tablert`, except for the entities.
`labelstudio_texts` holds the part of reading `labelstudio` that depends on the kind of text. `brat`
also reads and writes its own files, since a document has two of them.

The formats share:

- `files`: text, lines and JSON, from and to files;
- `records`: the records of a JSON file in any layout, and documents made of them;
- `options`: the choices that a reader leaves to its user;
- `fields`: checked access to the fields of a JSON object;
- `gold`: entities and relations, from plain data to a `Doc` and back;
- `sentence_formats`: formats with one JSON object for each sentence;
- `character_formats`: formats with offsets in characters;
- `conversion`: the report of a conversion, with the reasons for leaving something out.

A new format is one such file, its line in `formats.FORMATS`, and a rule in `guess_format` if a file
shows its format. `round_trip` then measures it together with the other formats.
"""
