"""Scores of classifiers against scikit-learn's, and by hand where it has none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from taolite.metrics import classification_report, score_classes, score_tags

sklearn = pytest.importorskip("sklearn.metrics")
NAMES = [f"class {number}" for number in range(7)]


def guesses(seed: int = 0, pictures: int = 300) -> tuple[np.ndarray, np.ndarray]:
    """Scores that are right rather often, and never of class 6; class 5 has no pictures."""
    rng = np.random.default_rng(seed)
    truths = rng.choice([0, 1, 2, 3, 4, 6], size=pictures, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.05])
    scores = rng.normal(size=(pictures, 7)).astype(np.float32)
    scores[np.arange(pictures), truths] += 1.5
    scores[:, 6] = -9
    return scores, truths


def test_everything_that_a_confusion_matrix_gives_is_scikit_learn_s():
    scores, truths = guesses()
    said = scores.argmax(axis=1)

    ours = score_classes(scores, truths, names=NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        precision, recall, f1, support = sklearn.precision_recall_fscore_support(
            truths, said, labels=range(7), zero_division=0
        )

    assert np.array_equal(ours.confusion_kk, sklearn.confusion_matrix(truths, said, labels=range(7)))
    assert ours.accuracy == pytest.approx(sklearn.accuracy_score(truths, said))
    assert ours.top_k == {1: pytest.approx(ours.accuracy)}
    for mine, theirs in ((ours.precision_k, precision), (ours.recall_k, recall), (ours.f1_k, f1)):
        assert np.allclose(mine, theirs, rtol=1e-12, atol=0)
    assert np.array_equal(ours.support_k, support)
    assert list(ours.per_class) == [name for name in NAMES if name != "class 5"]
    assert ours.per_class["class 0"] == pytest.approx(recall[0])


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_is_scikit_learn_s(k: int):
    scores, truths = guesses(seed=k)

    wanted = sklearn.top_k_accuracy_score(truths, scores, k=k, labels=range(7))
    assert score_classes(scores, truths, names=NAMES, top_k=(k,)).top_k[k] == pytest.approx(wanted)


def test_of_equal_scores_the_first_class_counts_and_a_k_of_all_classes_scores_one():
    scores, truths = np.zeros((3, 2)), np.array([0, 1, 1])

    ours = score_classes(scores, truths, names=["cat", "dog"], top_k=(1, 2, 5))

    assert ours.confusion_kk.tolist() == [[1, 0], [2, 0]]
    assert ours.top_k == {1: pytest.approx(1 / 3), 2: 1.0, 5: 1.0}


def test_the_report_is_scikit_learn_s_to_the_letter():
    scores, truths = guesses()

    wanted = sklearn.classification_report(
        truths, scores.argmax(axis=1), labels=range(7), target_names=NAMES, zero_division=0
    )
    pairs = (
        (classification_report(score_classes(scores, truths, names=NAMES)), wanted),
        (
            classification_report(
                score_classes(np.eye(2), np.array([0, 1]), names=["cat", "a very long name of a dog"])
            ),
            sklearn.classification_report([0, 1], [0, 1], target_names=["cat", "a very long name of a dog"]),
        ),
    )

    for ours, theirs in pairs:
        assert [row.split() for row in ours.splitlines()] == [row.split() for row in theirs.splitlines()]
        assert len({len(row) for row in ours.splitlines() if row}) == 1


def test_nothing_scores_nothing():
    ours = score_classes(np.zeros((0, 2)), np.zeros(0, np.int64), names=["cat", "dog"], top_k=(1,))
    tags = score_tags(np.zeros((0, 2)), np.zeros((0, 2), bool), names=["cat", "dog"])

    assert (ours.accuracy, ours.pictures, ours.top_k, ours.per_class) == (0.0, 0, {1: 0.0}, {})
    assert (tags.accuracy, tags.exact, tags.mean_average_precision) == (0.0, 0.0, 0.0)


def test_the_accuracy_of_tags_is_the_share_of_all_answers():
    probabilities = np.array([[0.9, 0.5, 0.1], [0.2, 0.4, 0.6]])
    truths = np.array([[True, True, False], [True, False, False]])

    ours = score_tags(probabilities, truths, names=["a", "b", "c"])
    stricter = score_tags(probabilities, truths, names=["a", "b", "c"], threshold=0.55)

    assert ours.accuracy == pytest.approx(4 / 6)  # wrong: the second picture's a and c
    assert ours.exact == 0.5
    assert stricter.accuracy == pytest.approx(3 / 6)  # and now the first picture's b


def test_the_average_precision_of_each_tag_is_scikit_learn_s_also_with_equal_scores():
    rng = np.random.default_rng(1)
    truths = rng.random((200, 5)) < 0.2
    truths[:, 4] = False
    probabilities = np.clip(truths * 0.2 + rng.random((200, 5)) * 0.7, 0, 1).round(2)  # many are equal

    ours = score_tags(probabilities, truths, names=list("abcde"))

    wanted = [sklearn.average_precision_score(truths[:, k], probabilities[:, k]) for k in range(4)]
    assert ours.average_precision_k[:4] == pytest.approx(wanted)
    assert np.isnan(ours.average_precision_k[4])
    assert ours.mean_average_precision == pytest.approx(np.mean(wanted))
