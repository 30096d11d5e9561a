// The curves of metrics.jsonl: a line for each finished epoch, and one for each validation.

import { colour } from "./dom.js";

export const points = (rows, key) => rows.filter((row) => typeof row[key] === "number").map((row) => [row.epoch, row[key]]);

/** The name of the mapping that has the main metric of each class: AP for mAP. */
export const perClass = (metric) => (metric === "mAP" ? "AP" : "class_accuracy");

/** The score of each class over the epochs: [{name, points}]. */
export function classCurves(rows, metric) {
  const key = perClass(metric);
  const names = [...new Set(rows.flatMap((row) => (isMapping(row[key]) ? Object.keys(row[key]) : [])))];
  const of = (name) => rows.filter((row) => isMapping(row[key]) && typeof row[key][name] === "number").map((row) => [row.epoch, row[key][name]]);
  return names.map((name) => ({ name, points: of(name) }));
}

/** The parts of the training cost: [{name, points}]. */
export function parts(rows) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(row).filter((key) => key.startsWith("train_"))))];
  return names.map((name, place) => ({ name: name.slice(6), colour: colour(place), points: points(rows, name) }));
}

export const isMapping = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
