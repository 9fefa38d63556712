/** Return a function that runs at most `limit` works at once, and the others in their order. */
export function limiter(limit: number) {
  let free = limit;
  const waiting: (() => void)[] = [];

  return async <T>(work: () => Promise<T>): Promise<T> => {
    if (free > 0) free--;
    else await new Promise<void>((start) => waiting.push(start));
    try {
      return await work();
    } finally {
      // The next one takes over the place. Only without one it becomes free.
      const next = waiting.shift();
      if (next === undefined) free++;
      else next();
    }
  };
}
