from __future__ import annotations

import numpy as np

from taolite.data.order import epoch_order, even_order, seed_for


def test_an_epoch_shows_every_sample_once_and_fills_the_last_batch():
    order = epoch_order(10, seed=1, epoch=0, batch_size=4)

    assert len(order) == 12
    assert sorted(order[:10].tolist()) == list(range(10))
    assert order[10:].tolist() == order[:2].tolist()


def test_orders_differ_by_epoch_and_seed_and_repeat_exactly():
    orders = [epoch_order(50, seed=s, epoch=e, batch_size=5).tolist() for s, e in ((1, 0), (1, 1), (2, 0), (1, 0))]

    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3


def test_a_set_smaller_than_a_batch_is_repeated():
    assert np.bincount(epoch_order(3, seed=0, epoch=0, batch_size=8)).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_seeds_are_the_same_in_every_process():
    assert seed_for(42, "view", 0, 7) == 1975801130911969511  # blake2b of "42/view/0/7", its first eight bytes halved


def test_sources_of_any_size_have_the_same_share_of_every_epoch():
    # 3 + 40 + 9 samples in batches of 8: 7 steps, 56 places, of which each source has 18 or 19
    for epoch in range(5):
        order = even_order([3, 40, 9], seed=1, epoch=epoch, batch_size=8)

        assert len(order) == 56
        shares = np.bincount(np.digitize(order, [3, 43]), minlength=3)
        assert shares.min() >= 18
        assert shares.max() <= 19


def test_even_orders_bring_all_samples_of_a_source_equally_often_over_the_epochs():
    seen = np.concatenate([even_order([3, 40, 9], seed=1, epoch=epoch, batch_size=8) for epoch in range(40)])
    counts = np.bincount(seen, minlength=52)

    assert counts[:3].max() - counts[:3].min() <= 1
    assert counts[3:43].max() - counts[3:43].min() <= 1
    assert counts[43:].max() - counts[43:].min() <= 1


def test_even_orders_are_a_function_of_seed_and_epoch():
    orders = [even_order([5, 20], seed=s, epoch=e, batch_size=5).tolist() for s, e in ((1, 3), (1, 4), (2, 3), (1, 3))]

    assert orders[0] == orders[3]
    assert len({tuple(order) for order in orders}) == 3
