"""PFN as its authors write it: one sentence, one word and one pair after another, with all
partitions."""

import torch
import torch.nn.functional as F


def cumax(gate):
    """The cumulative sums of a softmax."""
    return torch.softmax(gate, dim=-1).cumsum(dim=-1)


def partition(entity_gate, relation_gate):
    """Entity-only, relation-only and shared partition."""
    shared = entity_gate * relation_gate
    return entity_gate - shared, relation_gate - shared, shared


def encode(cell, words):
    """The features of the words of a sentence, in evaluation."""
    hidden = cell.transformation.out_features
    state = memory = words.new_zeros(hidden)
    features = []
    for word in words:
        gates = cell.input(word) + cell.recurrence(state)
        candidate, r_old, e_old, r_new, e_new = gates.chunk(5)
        candidate = torch.tanh(candidate)
        old = partition(1 - cumax(e_old), cumax(r_old))
        new = partition(1 - cumax(e_new), cumax(r_new))
        entity_only, relation_only, shared = (
            one * memory + other * candidate for one, other in zip(old, new, strict=True)
        )
        entity, relation = entity_only + shared, relation_only + shared
        memory = cell.transformation(torch.cat([relation, entity, shared]))
        state = torch.tanh(memory)
        features.append(torch.stack([relation, entity, shared]).tanh())
    return torch.stack(features, dim=1)


def score(unit, own, other, is_cell):
    """The logits of the cells of a sentence, row by row."""
    context = torch.tanh(unit.context(torch.cat([other, own], dim=1))).max(dim=0).values
    logits = []
    for i, first in enumerate(own):
        for j, second in enumerate(own):
            if is_cell(i, j):
                pair = unit.pair(torch.cat([first, second, context]))
                logits.append(unit.label(F.elu(unit.norm(pair)))[: unit.n_labels])
    return logits


def score_tables(module, words, lengths):
    """The tables of a batch."""
    tables = [[] for _ in module.units()]
    for sentence in words.split(lengths.tolist()):
        relation, entity, shared = encode(module.cell, sentence)
        inputs = [
            (entity, shared, lambda i, j: i <= j),
            (relation, shared, lambda i, j: i != j),
            (shared, relation, lambda i, j: i != j),
        ]
        for table, unit, arguments in zip(tables, module.units(), inputs, strict=False):
            table += score(unit, *arguments)
    widths = [unit.n_labels for unit in module.units()]
    return [
        torch.stack(table) if table else words.new_zeros(0, width)
        for table, width in zip(tables, widths, strict=True)
    ]
