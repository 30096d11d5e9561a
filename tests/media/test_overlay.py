"""Drawing: what is drawn where, and that nothing is hidden; how it looks is for the eye."""

from __future__ import annotations

import itertools

import numpy as np

from taolite.media import contact_sheet, draw_boxes, palette
from taolite.media.overlay import Marks, Overlay, draw_detections
from taolite.media.tags import stamp_tag, tag_size
from taolite.sample import Detection

RED = (200, 0, 0)
GREY = 90


def plain(height=240, width=320):
    return np.full((height, width, 3), GREY, np.uint8)


def touched(before, after):
    return (before != after).any(axis=2)


def test_the_picture_given_is_left_as_it_was():
    image = plain()

    drawn = draw_boxes(image, np.float32([[50, 50, 150, 150]]), ["cat 0.9"], [RED])

    assert (image == GREY).all()
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert touched(image, drawn).any()


def test_a_frame_grows_outwards_so_that_the_object_stays_visible():
    for width in (None, 0, 1, 5):
        drawn = draw_boxes(plain(), np.float32([[100, 80, 108, 86]]), [""], [RED], linewidth=width)

        assert (drawn[80:86, 100:108] == GREY).all()
        assert drawn[82, 99].tolist() == list(RED)
        assert drawn[82, 108].tolist() == list(RED)
        thick = max(width or 0, 1)
        assert drawn[82, 100 - thick].tolist() == list(RED)
        assert not (drawn[82, 100 - thick - 2] == RED).all()


def test_a_box_past_the_edge_is_framed_inside_the_picture():
    drawn = draw_boxes(plain(), np.float32([[-50, -50, 900, 900], [400, 400, 500, 500]]), ["", ""], [RED, RED])

    for corner in (drawn[0, 0], drawn[0, -1], drawn[-1, 0], drawn[-1, -1]):
        assert corner.tolist() == list(RED)


def test_a_tag_stands_above_its_box_and_leaves_the_inside_alone():
    drawn = draw_boxes(plain(), np.float32([[100, 100, 200, 200]]), ["cat 0.98"], [(250, 230, 60)])

    assert (drawn[100:200, 100:200] == GREY).all()
    above = drawn[70:96, 98:200].reshape(-1, 3).astype(int)
    assert (np.abs(above - (250, 230, 60)).max(axis=1) < 30).mean() > 0.1  # the filled tag
    assert (above.max(axis=1) < 60).sum() > 20  # dark ink on a light colour


def test_ink_is_light_on_a_dark_tag():
    drawn = draw_boxes(plain(), np.float32([[100, 100, 200, 200]]), ["cat 0.98"], [(0, 60, 110)])

    assert (drawn[70:96, 98:200].reshape(-1, 3).min(axis=1) > 200).sum() > 20


def test_tags_of_neighbours_do_not_cover_small_objects():
    image = plain(400, 400)
    boxes = np.float32([[100, 120, 300, 300], [104, 106, 114, 116], [160, 104, 172, 114]])  # small ones above a big one

    drawn = draw_boxes(image, boxes, ["big 0.90", "a 0.50", "b 0.40"], [RED, RED, RED])

    assert (drawn[106:116, 104:114] == GREY).all()
    assert (drawn[104:114, 160:172] == GREY).all()


def test_a_picture_without_boxes_or_smaller_than_a_tag_is_drawn():
    assert (draw_boxes(plain(), np.zeros((0, 4), np.float32), [], []) == GREY).all()

    tiny = draw_boxes(plain(8, 8), np.float32([[1, 1, 5, 5]]), ["a long name of a class"], [RED])

    assert tiny.shape == (8, 8, 3)


def test_colours_are_distinct_and_stay_with_their_class():
    many = palette(24)

    assert many[:3] == palette(3)
    assert (
        min(sum(abs(a - b) for a, b in zip(one, two, strict=True)) for one, two in itertools.combinations(many, 2)) > 30
    )
    assert all(0 <= value <= 255 for colour in many for value in colour)


def test_a_sheet_shows_every_picture_whole():
    wide, tall = np.full((50, 200, 3), 10, np.uint8), np.full((200, 50, 3), 20, np.uint8)

    sheet = contact_sheet([wide, tall, wide], columns=2, cell_hw=(100, 100))

    assert sheet.shape == (2 * 100 + 3 * 8, 2 * 100 + 3 * 8, 3)
    assert sheet[8 + 50, 8 + 50].tolist() == [10, 10, 10]
    assert (sheet == 10).all(axis=2).sum() == 2 * 100 * 25
    assert (sheet == 20).all(axis=2).sum() == 100 * 25


def test_titles_stand_below_their_pictures_and_are_cut_to_fit():
    image = np.full((100, 100, 3), 10, np.uint8)

    plain_sheet = contact_sheet([image], cell_hw=(100, 100))
    titled = contact_sheet([image], cell_hw=(100, 100), titles=["a_very_long_file_name_of_a_picture.jpg"])

    assert titled.shape[0] > plain_sheet.shape[0]
    caption = titled[8 + 100 : -8]
    assert (caption < 100).any()
    assert (caption[:, :8] > 200).all()
    assert (caption[:, -8:] > 200).all()


def test_what_is_said_of_the_whole_picture_stands_at_its_top_left_and_objects_keep_their_frames():
    grey = np.full((120, 200, 3), 90, np.uint8)
    found = [Detection("cat", None, 0.9), Detection("dog", (120, 60, 180, 110), 0.8)]

    drawn = draw_detections(grey, found, {"cat": (255, 0, 0), "dog": (0, 255, 0)})

    reds, greens = (np.argwhere((drawn == colour).all(axis=2)) for colour in ((255, 0, 0), (0, 255, 0)))
    assert drawn[2, 2, 0] > 200
    assert drawn[2, 2, 1] < 60  # the tag is red over grey
    assert len(reds) + len(greens) > 0
    assert (drawn[60:111, 119:182] != 90).any()
    assert (drawn[80:, :100] == 90).all()


CAT = Detection("cat", (100.0, 80.0, 220.0, 180.0), 0.9, track=3)


def drawn(*parts, alpha=120, marks=None, found=(CAT,)):
    overlay = Overlay(frozenset(parts), alpha)
    return draw_detections(plain(), found, {"cat": RED}, overlay=overlay, marks=marks or Marks())


def test_only_the_asked_parts_are_drawn():
    inside = (slice(90, 170), slice(110, 210))

    assert (drawn() == GREY).all()
    assert (drawn("lines")[inside] == GREY).all()
    assert drawn("lines")[120, 99].tolist() == list(RED)
    assert (drawn("box", alpha=255)[inside] == RED).all()
    half = drawn("box", alpha=51)[120, 150].astype(int)  # a fifth of the colour
    assert np.abs(half - (0.8 * GREY + 0.2 * np.array(RED))).max() <= 1
    assert (drawn("tracking", found=[Detection("cat", CAT.box, 0.9)]) == GREY).all()


def test_a_tag_has_name_track_and_score():
    def same(parts, text):
        boxes = draw_boxes(plain(), np.float32([CAT.box]), [text], [RED])
        return (drawn("lines", *parts) == boxes).all()

    assert same(("labels", "conf", "tracking"), "cat #3:0.900")
    assert same(("labels", "conf"), "cat:0.900")
    assert same(("tracking",), "#3")
    assert same(("conf",), "0.900")


def test_counting_lines_trails_and_the_rate_are_drawn():
    line = drawn(marks=Marks(lines=[((20.0, 20.0), (300.0, 20.0), "")]))
    assert (line[20, 30:290] > 200).all()
    assert (line[30:] == GREY).all()

    trail = Marks(trails={3: [(10.0, 200.0), (60.0, 200.0)], 4: [(10.0, 220.0), (60.0, 220.0)]})
    way = drawn("trails", marks=trail)
    assert (np.abs(way[200, 15:55].astype(int) - RED) < 15).all()
    assert (way[215:] == GREY).all()  # track 4 is not in the picture
    assert (drawn(marks=trail) == GREY).all()

    note = drawn("fps", marks=Marks(note="25.0 fps"))
    assert touched(plain(), note)[:200].sum() == 0
    assert touched(plain(), note)[215:, :40].sum() > 100


def test_a_crowd_of_boxes_is_drawn_with_its_tags():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 200, (300, 2))
    boxes = np.concatenate([corners, corners + 30], axis=1).astype(np.float32)

    image = draw_boxes(plain(), boxes, ["cat"] * 300, [RED] * 300)

    assert (image == RED).all(axis=2).sum() > 3000


def test_a_tag_is_cut_at_the_edge_of_its_picture():
    whole, cut = plain(), plain()
    stamp_tag(whole, "cat 0.98", RED, (50, 50), 20)
    stamp_tag(cut, "cat 0.98", RED, (-30, -4), 20)
    stamp_tag(cut, "cat 0.98", RED, (-900, 10), 20)

    wide, high = tag_size("cat 0.98", 20)
    assert (cut[: high - 4, : wide - 30] == whole[54 : 50 + high, 80 : 50 + wide]).all()
    assert (cut[high:] == GREY).all()
