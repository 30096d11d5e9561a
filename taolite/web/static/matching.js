// Which finds are right at a threshold: boxes of one class that overlap by an IoU of 0.5 or more, the best score first.

const LEAST_IOU = 0.5;

/** What is compared of a picture, whatever the threshold: [class, score, box] best first, and which labels each may
 * match, the greatest overlap first. */
export function prepared(picture) {
  const finds = picture.finds.map(([kind, score, box]) => ({ kind, score, box })).sort((a, b) => b.score - a.score);
  for (const find of finds) {
    find.near = picture.truth
      .map(([kind, box], index) => ({ index, iou: kind === find.kind ? overlap(box, find.box) : 0 }))
      .filter(({ iou }) => iou >= LEAST_IOU)
      .sort((a, b) => b.iou - a.iou);
  }
  return { ...picture, finds };
}

/** {right, wrong, missed, excused}: finds, and labels that nothing found. `least(kind)`: the threshold of a class;
 * `wanted(kind)`: whether it is looked at; `isOne`: a picture has one class, and only the best find counts. */
export function matched(picture, { least, wanted, isOne = false }) {
  const taken = new Set();
  const made = { right: [], wrong: [], missed: [], excused: [] };
  const first = isOne ? picture.finds.slice(0, 1) : picture.finds;
  for (const find of first) {
    if (!wanted(find.kind) || find.score < least(find.kind)) continue;
    const free = find.near.filter(({ index }) => !taken.has(index));
    const own = free.find(({ index }) => !picture.truth[index][2]);
    if (own) {
      taken.add(own.index);
      made.right.push(find);
    } else if (find.near.some(({ index }) => picture.truth[index][2])) {
      made.excused.push(find);
    } else {
      made.wrong.push(find);
    }
  }
  picture.truth.forEach(([kind, box, difficult], index) => {
    if (wanted(kind) && !difficult && !taken.has(index)) made.missed.push({ kind, box });
  });
  return made;
}

/** Intersection over union of boxes (x1, y1, x2, y2); 1 where both are the whole picture. */
export function overlap(a, b) {
  if (a === null || b === null) return a === b ? 1 : 0;
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const both = width * height;
  return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both);
}
