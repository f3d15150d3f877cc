"""The paper's table head: a CNN over the table of word pairs, computed without the table.

Source: Ma, Hiraoka and Okazaki (NLP2022), section 2.2, equations 2-6.

`dense` is the head as the paper writes it; `module` is the same head from four facts, with equal
numbers:

1. The input of cell (i, j) is [e_i ; e_j]. So the first convolution is a sum of a vector of word i
   and a vector of word j. `first_layer` has the derivation.
2. The head reads only the cells on and above the diagonal. So each layer is computed on this band
   of the table alone, widened by the reach of the windows of the layers that follow. `layout`
   numbers the cells.
3. The words of a batch stand end to end, and so do the cells. Nothing is padded, and each sentence
   keeps its own border, so a batch gives the logits of its sentences one by one.
4. A cell of the first layer is computed from its two vectors in less time than it is read from
   memory. So forward and backward pass both compute the cells chunk by chunk, in the CPU's cache,
   and never hold them all. `convolution` does that.

`geometry` holds all indices, which depend on the lengths of the sentences only.
"""

from .module import TableCNN

__all__ = ["TableCNN"]
