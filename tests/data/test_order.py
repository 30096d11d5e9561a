from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from taolite.data.order import epoch_order, even_order, generator, seed_for, shuffled


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


def test_a_small_set_keeps_the_order_of_numpy_s_permutation():
    permutation = generator(7, "order", 2).permutation(1000)

    assert epoch_order(1000, seed=7, epoch=2, batch_size=8).tolist() == permutation.tolist()


@pytest.mark.parametrize("count", [1, 2, 3, 10, 97, 1000, 65536, 65537])
def test_a_computed_permutation_has_every_index_once(count: int):
    places = np.arange(count, dtype=np.int64)

    assert np.array_equal(np.sort(shuffled(places, count, "any", 1)), places)


def test_a_computed_permutation_is_as_random_as_a_drawn_one():
    count, parts = 100_000, 100
    places = np.arange(count, dtype=np.int64)
    for epoch in range(3):
        indices = shuffled(places, count, 5, "order", epoch)
        cells = np.bincount(places * parts // count * parts + indices * parts // count, minlength=parts**2)
        chi_squared = float((((cells - 10.0) ** 2) / 10.0).sum())  # 10 indices of each hundredth in each, expected
        steps = np.diff(indices)

        assert abs(chi_squared - 99 * 99) < 5 * (2 * 99 * 99) ** 0.5
        assert abs(np.corrcoef(places, indices)[0, 1]) < 0.015
        assert abs(np.abs(steps).mean() / count - 1 / 3) < 0.005  # of two numbers drawn from 0..1
        assert np.count_nonzero(np.abs(steps) == 1) < 20  # 2 expected


def test_a_large_epoch_shows_every_sample_once_and_differs_from_the_next():
    orders = [np.asarray(epoch_order(70_000, seed=1, epoch=epoch, batch_size=16)) for epoch in (0, 1, 0)]

    assert np.array_equal(np.sort(orders[0]), np.arange(70_000))
    assert np.count_nonzero(orders[0] == orders[1]) < 10  # 1 expected
    assert np.array_equal(orders[0], orders[2])


@pytest.mark.parametrize("sizes", [[30, 50], [30_000, 50_000]])
def test_any_place_of_an_epoch_is_what_the_whole_of_it_says(sizes: list[int]):
    for order in (
        epoch_order(sum(sizes), seed=3, epoch=4, batch_size=7),
        even_order(sizes, seed=3, epoch=4, batch_size=7),
    ):
        whole = np.asarray(order).tolist()

        assert order[10:20].tolist() == whole[10:20]
        assert order[13:70][5] == whole[18]
        assert order[2::3][4:6].tolist() == whole[14:20:3]
        assert list(order) == whole


def test_large_sources_have_the_same_share_of_an_epoch_and_all_samples_come_equally_often():
    sizes = [1000, 80_000]
    seen = np.concatenate([np.asarray(even_order(sizes, seed=1, epoch=epoch, batch_size=10)) for epoch in range(4)])
    counts = np.bincount(seen, minlength=sum(sizes))

    assert counts[:1000].sum() == counts[1000:].sum() == 4 * 40_500
    assert counts[:1000].max() - counts[:1000].min() <= 1
    assert counts[1000:].max() - counts[1000:].min() <= 1


def test_a_hundred_million_indices_take_no_memory():
    tracemalloc.start()
    order = epoch_order(100_000_000, seed=1, epoch=0, batch_size=16)
    batch = order[50_000_000:][:16].tolist()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(order) == 100_000_000
    assert len(set(batch)) == 16
    assert peak < 100_000


def test_a_share_of_an_order_has_the_same_places_of_every_batch():
    order = epoch_order(10, seed=1, epoch=0, batch_size=4)
    whole = order.tolist()

    assert order.share([0, 3], batch_size=4).tolist() == [whole[place] for place in (0, 3, 4, 7, 8, 11)]
    assert order[4:].share([2], batch_size=4)[1:].tolist() == [whole[10]]
