/** Draws whole numbers below `count`: number n with a weight of 1 / (n + 1), as popular things are asked for. */
export function zipf(count: number): () => number {
  let sum = 0;
  const upTo = Float64Array.from({ length: count }, (_, number) => {
    sum += 1 / (number + 1);
    return sum;
  });
  return () => {
    const drawn = Math.random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((upTo[middle] ?? 0) > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
