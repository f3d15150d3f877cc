"""The module against one that looks at each span by itself."""

import itertools

import pytest
import torch

from spacy_tabcnn.heads import span_classifier as spert
from spacy_tabcnn.heads.span_classifier import SpERT

WIDTH, N_TYPES, N_RELATIONS, MAX_WIDTH = 6, 4, 3, 10
LENGTHS = [5, 1, 12, 2]


def make_module(**options):
    torch.manual_seed(0)
    return SpERT(
        WIDTH, N_TYPES, N_RELATIONS, **{"max_width": MAX_WIDTH, "width_embedding": 5, **options}
    ).double()


def make_inputs(lengths=LENGTHS, max_width=MAX_WIDTH):
    """Embeddings, all spans and, of each sentence, pairs apart, touching, overlapping or nested."""
    torch.manual_seed(1)
    spans, pairs, offset = [], [], 0
    for sentence, n in enumerate(lengths):
        first = len(spans)
        spans += [
            (offset + start, offset + end, sentence)
            for start in range(n)
            for end in range(start + 1, min(start + max_width, n) + 1)
        ]
        pairs += list(itertools.permutations(range(first, len(spans)), 2))[:: 1 + n // 2]
        offset += n
    words = torch.randn(offset, WIDTH, dtype=torch.double)
    context = torch.randn(len(lengths), WIDTH, dtype=torch.double)
    return words, context, torch.tensor(spans), torch.tensor(pairs).reshape(-1, 2)


def score_one_by_one(module, words, context, spans, pairs):
    """As the paper writes it, in evaluation mode."""

    def pool(start, end):
        return (
            words[start:end].max(dim=0).values
            if start < end
            else torch.zeros(WIDTH, dtype=words.dtype)
        )

    def width_of(start, end):
        return module.widths.weight[end - start - 1]

    entities, relations = [], []
    for start, end, sentence in spans.tolist():
        features = torch.cat([context[sentence], pool(start, end), width_of(start, end)])
        entities.append(module.entity_classifier(features))
    for head, tail in pairs.tolist():
        one, other = spans[head, :2].tolist(), spans[tail, :2].tolist()
        between = pool(min(one[1], other[1]), max(one[0], other[0]))
        features = torch.cat([between, pool(*one), pool(*other), width_of(*one), width_of(*other)])
        relations.append(module.relation_classifier(features))
    return torch.stack(entities), torch.stack(relations)


def test_scores_are_those_of_each_span_by_itself():
    module, inputs = make_module().eval(), make_inputs()
    entities, relations = module(*inputs)
    assert entities.shape == (len(inputs[2]), N_TYPES) and relations.shape == (
        len(inputs[3]),
        N_RELATIONS,
    )
    for actual, expected in zip(
        (entities, relations), score_one_by_one(module, *inputs), strict=True
    ):
        torch.testing.assert_close(actual, expected)


def test_gradients_are_those_of_each_span_by_itself():
    module = make_module(dropout=0.0)
    words, context, spans, pairs = make_inputs([5, 1, 7])
    gradients = []
    for score in (module, lambda *inputs: score_one_by_one(module, *inputs)):
        leaves = [array.clone().requires_grad_() for array in (words, context)]
        module.zero_grad()
        sum((logits**2).sum() for logits in score(*leaves, spans, pairs)).backward()
        gradients.append([array.grad.clone() for array in (*leaves, *module.parameters())])
    for actual, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(actual, expected)


def test_a_sentence_scores_alike_in_any_batch():
    module = make_module().float().eval()
    words, context, spans, pairs = (
        array.float() if array.is_floating_point() else array for array in make_inputs()
    )
    entities, relations = module(words, context, spans, pairs)
    for sentence in reversed(range(len(LENGTHS))):
        offset = sum(LENGTHS[:sentence])
        is_mine = spans[:, 2] == sentence
        pair_is_mine = is_mine[pairs[:, 0]]
        first = int(is_mine.nonzero()[0])
        alone = module(
            words[offset : offset + LENGTHS[sentence]],
            context[sentence : sentence + 1],
            spans[is_mine] - torch.tensor([offset, offset, sentence]),
            pairs[pair_is_mine] - first,
        )
        torch.testing.assert_close(alone[0], entities[is_mine], atol=1e-5, rtol=0.0)
        torch.testing.assert_close(alone[1], relations[pair_is_mine], atol=1e-5, rtol=0.0)


def test_chunks_change_nothing(monkeypatch):
    module, inputs = make_module().eval(), make_inputs()
    expected = module(*inputs)
    monkeypatch.setattr(spert, "MAX_FEATURES", 100)
    for actual, logits in zip(module(*inputs), expected, strict=True):
        torch.testing.assert_close(actual, logits)


@pytest.mark.parametrize("n_spans", [0, 3])
def test_nothing_to_score(n_spans):
    """Outputs of the right width, through which a gradient can be sent."""
    words, context, spans, pairs = make_inputs()
    entities, relations = make_module()(words, context, spans[:n_spans], pairs[:0])
    assert entities.shape == (n_spans, N_TYPES) and relations.shape == (0, N_RELATIONS)
    torch.autograd.backward((entities, relations), (entities, relations))


def test_no_relation_types():
    module = SpERT(WIDTH, N_TYPES, 0).double()
    words, context, spans, pairs = make_inputs()
    assert module(words, context, spans, pairs)[1].shape == (len(pairs), 0)


def test_dropout_only_in_training():
    module, inputs = make_module(dropout=0.5), make_inputs()
    assert not torch.equal(module(*inputs)[0], module(*inputs)[0])
    module.eval()
    assert torch.equal(module(*inputs)[0], module(*inputs)[0])


@pytest.mark.parametrize("bounds", [(0, 5), (2, 2)])
def test_spans_that_are_too_wide_or_empty_are_refused(bounds):
    words, context, _, pairs = make_inputs()
    with pytest.raises(ValueError, match="SpERT: a span has no words or more than 4"):
        make_module(max_width=4)(words, context, torch.tensor([[*bounds, 0]]), pairs[:0])


@pytest.mark.parametrize(
    "options", [{"max_width": 0}, {"width_embedding": 0}, {"dropout": 1.0}, {"dropout": -0.1}]
)
def test_bad_options_are_refused(options):
    with pytest.raises(ValueError, match="SpERT: "):
        make_module(**options)
