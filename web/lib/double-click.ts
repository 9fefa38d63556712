/** A double-click is meant for one row: if its first click removes the row, its second one must not act on the next. */

interface Click {
  /** 1 for a click, 2 for the second click of a double-click, and so on. */
  readonly detail: number;
  readonly target: EventTarget | null;
  preventDefault(): void;
  stopPropagation(): void;
}

/** Return a handler that stops each further click of a series that hits another row than the first. */
export function clickGuard(): (click: Click) => void {
  let first: string | undefined;
  return (click) => {
    const key =
      click.target instanceof Element ? click.target.closest<HTMLElement>("[data-key]")?.dataset.key : undefined;
    if (click.detail <= 1) {
      first = key;
    } else if (key !== first) {
      click.preventDefault();
      click.stopPropagation();
    }
  };
}
