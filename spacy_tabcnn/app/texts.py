"""The texts of the page: its limits, examples, and files that visitors open."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from spacy.vocab import Vocab

from ..bulk.rows import read_rows
from ..corpora.docbin import DOCBIN_SUFFIX, read_docbin
from ..corpora.files import BYTE_ORDER_MARK, read_lines, read_text

# Maximum length of a text. The page needs a few seconds and 1 GB of memory for it. Both grow with
# the length: 100,000 characters took a minute.
MAX_CHARACTERS = 20_000
# Maximum number of punctuation marks and symbols without white space between them. The tokenizer
# needs up to 3 seconds for them, in which the server answers nobody.
MAX_MARKS = 500
# Maximum size of a file in megabytes, and maximum number of its texts to choose from.
MAX_MEGABYTES = 5
MAX_TEXTS = 1000
FILE_TYPES = (".txt", ".jsonl", DOCBIN_SUFFIX)
EXAMPLES = (
    "Soichiro Honda founded the Honda Motor Company in Hamamatsu, a city in Japan.",
    "Marie Curie was born in Warsaw. She worked for the University of Paris and died in Passy.",
    "Emmy Noether was born in Erlangen in 1882. She taught at Bryn Mawr College in Pennsylvania, "
    "where she died in 1935.",
    "A 45-year-old woman developed acute liver failure two weeks after she began to take "
    "isoniazid.",
    "We apply conditional random fields to named entity recognition and evaluate them on "
    "CoNLL 2003.",
)


def describe_excess(text: str, max_characters: int = MAX_CHARACTERS) -> str:
    """Return the reason why a text is too long for the page.

    text (str): The text.
    max_characters (int): Maximum length of a text.
    RETURNS (str): The reason and the way out; empty if the text is not too long.
    """
    if len(text) <= max_characters:
        return ""
    return (
        f"The text has {len(text):,} characters, and the page annotates at most "
        f"{max_characters:,}. Shorten it, or annotate a file of any length with "
        "`spacy tabcnn annotate`."
    )


def read_examples(path: str | Path) -> list[str]:
    """Read the examples of the page.

    path (str | Path): A text file with an example in each line.
    RETURNS (list[str]): The lines that are not empty.
    RAISES (ValueError): If the file does not exist, is not UTF-8 or has no example.
    """
    examples = list(filter(None, map(str.strip, read_lines(path))))
    if not examples:
        raise ValueError(f"{path}: has no examples. Write an example in each line")
    return examples


def read_file(name: str, content: bytes) -> list[str]:
    """Read the texts of a file that a visitor opens.

    name (str): Name of the file; its suffix is one of `FILE_TYPES`.
    content (bytes): Its content. A .txt file is one text. A .jsonl file has a text in the field
        `text` of each line, and a .spacy file one in each document.
    RETURNS (list[str]): The texts, at least one and at most `MAX_TEXTS`.
    RAISES (ValueError): If the file cannot be read or has no text.
    """
    suffix = Path(name).suffix.lower()
    if suffix not in FILE_TYPES:
        raise ValueError(f"{name}: unknown type of file; expected one of {', '.join(FILE_TYPES)}")
    with TemporaryDirectory() as folder:
        # The name of the file is not a path to write to.
        path = Path(folder) / f"file{suffix}"
        path.write_bytes(content)
        try:
            texts = list(islice(filter(str.strip, _list_texts(path)), MAX_TEXTS))
        except ValueError as err:
            raise ValueError(str(err).replace(str(path), name)) from err
    if not texts:
        raise ValueError(f"{name}: has no text. Open a file with one")
    return texts


def _list_texts(path: Path) -> Iterator[str]:
    """List the texts of a file."""
    if path.suffix == DOCBIN_SUFFIX:
        for doc in read_docbin(path, Vocab()):
            yield doc.text
    elif path.suffix == ".jsonl":
        for row in read_rows(path, text_field="text"):
            if row.reason is not None:
                raise ValueError(f"{path}, line {row.line}: {row.reason}")
            yield row.get_text("text")
    else:
        yield read_text(path).removeprefix(BYTE_ORDER_MARK)
