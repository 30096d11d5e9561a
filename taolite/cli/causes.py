"""The causes of a low score as sentences: what was found, with its numbers, and the way out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from taolite.diagnosis import Cause
from taolite.wording import counted

__all__ = ["sentence"]

Facts = Mapping[str, Any]
_MOST = 5  # names that a sentence lists


def sentence(cause: Cause) -> str:
    """What was found, and the way out, in one line."""
    return _WORDS[cause.name](cause.facts)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _names(names: Mapping[str, int] | list[str]) -> str:
    """The most frequent names with their counts, or the first names."""
    if isinstance(names, Mapping):
        rows = [f"{name} ({count})" for name, count in sorted(names.items(), key=lambda row: (-row[1], row[0]))]
    else:
        rows = list(names)
    return ", ".join(rows[:_MOST]) + (f" and {len(rows) - _MOST} more" if len(rows) > _MOST else "")


_SPLIT = {"train": "training", "val": "validation"}
_MAPPING = "map the name in target_class_mapping"


def _near(facts: Facts) -> str:
    pairs = [f"{theirs} is nearly {ours}" for ours, theirs in facts["near"].items()]
    return f"{_names(pairs)}: {_MAPPING}, or rename the labels" if pairs else ""


def _no_labels(facts: Facts) -> str:
    split = _SPLIT[facts["split"]]
    if not facts["labels"]:
        return (
            f"the {counted(facts['pictures'], 'picture')} of the {split} split have no labels at all; correct the "
            "paths of that split, or label its pictures"
        )
    near = _near(facts) or "map these names in target_class_mapping, or correct the paths of that split"
    return f"no class takes the labels of the {split} split, which are {_names(facts['labels'])}; {near}"


def _class_without(facts: Facts) -> str:
    split, names = _SPLIT[facts["split"]], _names(facts["classes"])
    told = f"the {split} split has no label of {names}"
    if facts["strangers"]:
        told += f", and no class takes its labels {_names(facts['strangers'])}"
        return f"{told}; {_near(facts) or 'if they are the same, map their name in target_class_mapping'}"
    usual = "an AP of 0 is counted for it" if split == "validation" else "it cannot be learned"
    return f"{told}, and {usual}; label some, or take the class out of the spec"


def _size(pair: list[int]) -> str:
    return f"{pair[0]}x{pair[1]}"


def _outside(facts: Facts) -> str:
    return (
        f"{_percent(facts['beyond'])} of the {counted(facts['labels'], 'label')} of the {_SPLIT[facts['split']]} split "
        f"reach beyond their pictures, up to {facts['reach_x']:.1f} times the width and {facts['reach_y']:.1f} times "
        f"the height (first picture: {_size(facts['photo'])}): the pictures were made smaller and their labels were "
        "not; scale the labels with the pictures, then convert again"
    )


def _corner(facts: Facts) -> str:
    return (
        f"all {counted(facts['labels'], 'label')} of the {_SPLIT[facts['split']]} split lie in the top left corner of "
        f"their pictures ({_percent(facts['reach_x'])} of the width, {_percent(facts['reach_y'])} of the height; first "
        f"picture: {_size(facts['photo'])}): the pictures were made larger and their labels were not; scale the labels "
        "with the pictures, then convert again, and look at plots/first_batch.png"
    )


def _cropped(facts: Facts) -> str:
    return (
        f"{facts['cropped']} of {counted(facts['labels'], 'object')} of the {_SPLIT[facts['split']]} split lie outside "
        f"of the network's input: the pictures are not resized but cut to {_size(facts['input'])} (first picture: "
        f"{_size(facts['photo'])}); set enable_auto_resize: true in augmentation_config.preprocessing"
    )


def _rate_low(facts: Facts) -> str:
    return (
        f"the learning rate is at most {facts['peak']:.3g}, so that {counted(facts['steps'], 'step')} change a weight "
        f"by about {facts['way']:.2g}, and the network stays as it was; raise max_learning_rate (or lr): 5e-4 is usual"
    )


def _rate_high(facts: Facts) -> str:
    fell = "" if facts["fell"] is None else f", and the cost fell by {_percent(max(facts['fell'], 0))} in all"
    return (
        f"the learning rate reaches {facts['peak']:.3g}, which {facts['optimizer']} seldom survives{fell}; lower "
        f"max_learning_rate (or lr): {facts['usual']:g} is usual"
    )


def _few_steps(facts: Facts) -> str:
    return (
        f"the network is trained for {counted(facts['steps'], 'step')} only ({counted(facts['epochs'], 'epoch')} of "
        f"{counted(facts['pictures'], 'picture')}, {facts['batch_size']} a step); train for more epochs: some thousand "
        "steps are usual, some hundred with pretrained weights"
    )


def _threshold(facts: Facts) -> str:
    return (
        f"{facts['field']} is {facts['threshold']:g} and the network's scores stay below it: on objects of "
        f"{facts['class']} they are {facts['median']:.2g} (median) and {facts['most']:.2g} (largest), elsewhere "
        f"{facts['elsewhere']:.2g} (median of each picture's largest); lower it, for instance to "
        f"{_between(facts['elsewhere'], facts['median']):.2g}"
    )


def _between(low: float, high: float) -> float:
    return (low + high) / 2 if low < high else high / 2


def _clustering(facts: Facts) -> str:
    return (
        f"the cells on objects of {facts['class']} pass the threshold, and {facts['algorithm'].upper()} makes no "
        f"object of them: dbscan_eps {facts['dbscan_eps']:g}, dbscan_min_samples {facts['dbscan_min_samples']:g}, "
        f"dbscan_confidence_threshold {facts['dbscan_confidence_threshold']:g}, minimum_bounding_box_height "
        f"{facts['minimum_height']:g}; lower the last three, or take clustering_algorithm: NMS ({facts['field']})"
    )


def _limits(facts: Facts) -> str:
    box = facts["limits"]
    return (
        f"evaluation_config.evaluation_box_config leaves out the objects of {facts['class']}: it takes heights from "
        f"{box['minimum_height']} to {box['maximum_height']} and widths from {box['minimum_width']} to "
        f"{box['maximum_width']} pixels of the network's input, and the {counted(facts['objects'], 'object')} are "
        f"{facts['width']:.0f}x{facts['height']:.0f} (median); widen the limits"
    )


def _no_cell(facts: Facts) -> str:
    return (
        f"{facts['without']} of {counted(facts['objects'], 'training object')} have no cell that learns them (cells of "
        f"{facts['cell']}x{facts['cell']} pixels, objects of {facts['sides'][2]:g} pixels, median of the longer side); "
        "raise cov_radius_x, cov_radius_y and bbox_min_radius (1.0 is usual) in bbox_rasterizer_config, or the "
        "input size"
    )


def _not_loaded(facts: Facts) -> str:
    names = ", ".join(facts["names"]) + (", ..." if facts["fresh"] > len(facts["names"]) else "")
    return (
        f"{facts['file']} has no weights for {facts['fresh']} of the {counted(facts['layers'], 'layer')} of the "
        f"backbone, which began at random ({names})"
        + (f"; of the file, {facts['reason']}" if facts["reason"] else "")
        + "; choose weights of the same arch and num_layers; a pruned DetectNet_v2 needs load_graph: true"
    )


def _normalised(input: Facts) -> str:
    """The normalisation of an input: `BGR - (103.939, 116.779, 123.68)`."""
    told = "BGR" if input["bgr"] else "RGB"
    if any(input["offsets"]):
        told += f" - ({', '.join(f'{offset:g}' for offset in input['offsets'])})"
    factors = [input["scale"] / std for std in input["stds"]]
    if len(set(factors)) > 1:
        return f"({told}) / ({', '.join(f'{1 / factor:.4g}' for factor in factors)})"
    if factors[0] == 1:
        return told
    return f"({told}) / {1 / factors[0]:.4g}" if any(input["offsets"]) else f"{told} / {1 / factors[0]:.4g}"


_WORDS: dict[str, Callable[[Facts], str]] = {
    "failed": lambda f: f"the training ended with an error: {f['message']}",
    "unreadable": lambda f: f"the {_SPLIT[f['split']]} split cannot be read: {f['reason']}",
    "no_labels": _no_labels,
    "class_without_labels": _class_without,
    "labels_outside": _outside,
    "labels_in_corner": _corner,
    "cropped": _cropped,
    "dropped": lambda f: (
        f"{f['dropped']} of {counted(f['labels'], 'object')} of the {_SPLIT[f['split']]} split are dropped before they "
        "reach the network; lower min_bbox_width and min_bbox_height in augmentation_config.preprocessing, and look at "
        "`taolite dataset check`"
    ),
    "other_sizes": lambda f: (
        f"the objects are {f['train']:.0f} pixels large in training and {f['val']:.0f} in validation (medians, pixels "
        "of the network's input); take both splits from the same kind of pictures, or let zoom_min and zoom_max "
        "span both"
    ),
    "no_cell": _no_cell,
    "small_objects": lambda f: (
        f"{_percent(f['smaller'])} of the objects are smaller than a cell of the network ({f['cell']}x{f['cell']} "
        "pixels); enlarge the input (output_image_width, output_image_height), or cut the pictures into tiles"
    ),
    "box_scale": lambda f: (
        f"objective_set.bbox.scale is {f['scale']:g}, so that the edges of a usual object lie {f['units']:.2g} units "
        f"from its centre, and 0.2 to 10 can be learned well; {f['usual']:g} is usual"
    ),
    "anchors": lambda f: (
        f"{_percent(f['none'])} of the objects overlap no anchor by {f['least']:g} or more (median of the best IoU: "
        f"{f['median']:.2f}; objects of {f['width']:.0f}x{f['height']:.0f} pixels, median); add scales and aspect "
        "ratios near these sizes to ssd_config, or enlarge the input"
    ),
    "frozen_random": lambda f: (
        f"{f['field']} freezes {_names([str(block) for block in f['blocks']])}, and training began with random "
        "weights, which these blocks keep; name pretrained weights, or freeze nothing"
    ),
    "not_loaded": _not_loaded,
    "other_input": lambda f: (
        f"{f['file']} was trained on {_normalised(f['learned'])} (values 0 to 255), and this training gives it "
        f"{_normalised(f['given'])}; set preprocess_mode or image_mean as they were there, where the spec has them, or "
        "begin with weights that were trained on this input"
    ),
    "rate_too_low": _rate_low,
    "rate_too_high": _rate_high,
    "few_steps": _few_steps,
    "cost_not_finite": lambda f: (
        f"the cost of epoch {f['epoch']} is not a finite number; lower the learning rate, and check the labels "
        "(`taolite dataset check`)"
    ),
    "penalty": lambda f: (
        f"the regulariser's penalty ({f['penalty']:.3g}) outweighs the cost of the data ({f['cost']:.3g}), so that "
        "training shrinks the weights and learns nothing else; lower the regulariser's weight: 3e-9 (L1) or 5e-5 (L2) "
        "is usual"
    ),
    "cost_still": lambda f: (
        f"the cost stands still: {f['first']:.4g} in the first epoch and {f['last']:.4g} in epoch {f['epochs']}; look "
        "at the labels in plots/first_batch.png, then try `taolite diagnose --overfit`"
    ),
    "part_still": lambda f: (
        f"the {f['part']} part of the cost stands still ({f['first']:.4g} in the first epoch, {f['last']:.4g} in the "
        "last) while the whole falls; raise its weight in cost_function_config"
    ),
    "not_learned": lambda f: (
        f"the network's scores are no higher on objects ({f['median']:.2g}, median) than elsewhere "
        f"({f['elsewhere']:.2g}, median of each picture's largest): it has not learned them yet; train longer, begin "
        "with pretrained weights, and try `taolite diagnose --overfit`"
    ),
    "threshold": _threshold,
    "clustering": _clustering,
    "minimum_height": lambda f: (
        f"{f['field']} is {f['least']:g} and the {counted(f['objects'], 'object')} of {f['class']} are "
        f"{f['median']:.0f} pixels high (median, pixels of the network's input), so that what is found is dropped; "
        "lower it: 4 to 20 is usual"
    ),
    "box_limits": _limits,
    "overlap": lambda f: (
        f"objects of {f['class']} are found with an IoU of {f['median']:.2f} (median; {f['most']:.2f} at best), and "
        f"{f['least']:g} is asked for; lower minimum_detection_ground_truth_overlap (or matching_iou_threshold): 0.5 "
        "is usual"
    ),
    "one_class": lambda f: (
        f"{_percent(f['said'])} of the answers are {f['class']}, the class of {_percent(f['largest'])} of the "
        "pictures: accuracy is that of always saying it; train longer, lower the learning rate, or begin with "
        "pretrained weights"
    ),
    "few_of_class": lambda f: (
        f"{_percent(f['largest'])} of the training pictures are {f['class']}, and always saying it costs little; add "
        "pictures of the other classes, or leave out some of this one"
    ),
    "folders_swapped": lambda f: (
        f"most pictures of {f['truth']} are taken for {f['said']}, and so on around: the class folders of validation "
        "have other names, or another order, than those of training; correct the folders (or the --classmap)"
    ),
}
