/** The maximum length of a task's title, in characters. */
export const TITLE_LIMIT = 200;
