// Numbers that follow from a seed, so that what failed once can be tried again.

/** A function that returns numbers from 0 to below 1, the same ones for the same seed. */
export function numbersFrom(seed) {
  // A Weyl sequence through the finalizer of MurmurHash3.
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

/** A whole number between these, both included. */
export function between(random, lowest, highest) {
  return lowest + Math.floor(random() * (highest - lowest + 1));
}

export function oneOf(random, list) {
  return list[between(random, 0, list.length - 1)];
}
