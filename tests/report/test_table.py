"""The closing table, as a whole."""

from __future__ import annotations

from taolite.report import ModelFigures, comparison_table


def test_the_table_lines_up_and_counts_in_percent_of_the_first_model():
    rows = [
        ModelFigures("trained", 0.9141, 11_190_000, 12_400_000_000, 44_900_000, 38.21),
        ModelFigures("pruned", 0.31, 1_298_000, 1_900_000_000, 5_300_000, 9.1),
        ModelFigures("exported (fp16)", None, None, None, 999_600, None),
    ]

    assert comparison_table(rows) == (
        "| model           |   mAP |    parameters |          MACs |    file | latency |\n"
        "| :-------------- | ----: | ------------: | ------------: | ------: | ------: |\n"
        "| trained         | 0.914 | 11.2 M  100 % | 12.4 G  100 % | 44.9 MB | 38.2 ms |\n"
        "| pruned          | 0.310 |  1.30 M  12 % |  1.90 G  15 % | 5.30 MB |  9.1 ms |\n"
        "| exported (fp16) |     - |             - |             - | 1.00 MB |       - |"
    )


def test_small_numbers_stay_whole():
    table = comparison_table([ModelFigures("tiny", 1.0, 512, 99_960, 0, 0.04)])

    assert table.splitlines()[2] == "| tiny  | 1.000 | 512  100 % | 100 k  100 % |  0 B |  0.0 ms |"


def test_a_table_of_nothing_is_its_header():
    assert comparison_table([]).splitlines() == [
        "| model | mAP | parameters | MACs | file | latency |",
        "| :---- | --: | ---------: | ---: | ---: | ------: |",
    ]
