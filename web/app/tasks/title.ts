/** Characters the service takes in a task's title. */
export const TITLE_LIMIT = 200;
