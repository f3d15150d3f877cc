"""Ways of storing and copying a document, for tests of the annotation that survives them."""

import pickle

from spacy.tokens import Doc, DocBin


def through_bytes(doc: Doc) -> Doc:
    return Doc(doc.vocab).from_bytes(doc.to_bytes())


def through_docbin(doc: Doc) -> Doc:
    docbin = DocBin(docs=[doc], store_user_data=True)
    return next(iter(DocBin().from_bytes(docbin.to_bytes()).get_docs(doc.vocab)))


def through_pickle(doc: Doc) -> Doc:
    return pickle.loads(pickle.dumps(doc))


COPIES = [through_bytes, through_docbin, through_pickle, Doc.copy]
