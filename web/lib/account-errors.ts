/** What Better Auth refuses, and fields that are not filled in, in words for the user. */

/** The part of an error of Better Auth's client that matters here. Status 0: there was no response. */
export interface AuthError {
  readonly status: number;
  readonly code?: string | undefined;
  readonly message?: string | undefined;
}

/** Why a form was not accepted. */
export interface Refusal {
  /** The name of the field that the message belongs to. Null: it belongs to the whole form. */
  readonly field: string | null;
  readonly message: string;
}

/** The part of an input element that says what is wrong with its value. */
export interface CheckedInput {
  readonly name: string;
  readonly minLength: number;
  readonly validity: Pick<ValidityState, "valid" | "valueMissing" | "patternMismatch" | "typeMismatch" | "tooShort">;
}

const NO_ADDRESS = "Enter an e-mail address, such as ada@example.com.";
const WAITING = "Something went wrong. Try again in a moment.";

/** What to enter, by the name of the field. */
const WANTED: Readonly<Record<string, string>> = {
  name: "Enter your name.",
  email: NO_ADDRESS,
  newEmail: NO_ADDRESS,
  password: "Enter your password.",
  newPassword: "Enter a new password.",
};

/** Messages by Better Auth's code. They belong to the first of the fields that the form has. */
const BY_CODE: Readonly<Record<string, readonly [message: string, ...fields: string[]]>> = {
  INVALID_EMAIL_OR_PASSWORD: ["The e-mail address or the password is wrong.", "password"],
  INVALID_PASSWORD: ["This is not your password.", "password"],
  INVALID_EMAIL: [NO_ADDRESS, "newEmail", "email"],
  PASSWORD_TOO_SHORT: ["Use at least 8 characters.", "newPassword", "password"],
  PASSWORD_TOO_LONG: ["Use at most 128 characters.", "newPassword", "password"],
  USER_ALREADY_EXISTS: ["This address has an account already. Sign in instead.", "email"],
  USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL: ["This address has an account already. Sign in instead.", "email"],
  INVALID_TOKEN: ["This link is not valid any more. Ask for a new one."],
  TASK_SERVICE_UNAVAILABLE: ["Your account was not deleted, because your tasks could not be. Try again in a moment."],
};

/**
 * Return the message for an error, and where it belongs. `fields` are the names of the form's fields, and `retryAfter`
 * is the response's header, in seconds.
 *
 * Better Auth's own messages are never shown: they are written for developers.
 */
export function explain(error: AuthError, fields: readonly string[], retryAfter: string | null): Refusal {
  const known = BY_CODE[error.code ?? ""];
  if (known !== undefined) {
    const [message, ...places] = known;
    return { field: places.find((place) => fields.includes(place)) ?? null, message };
  }
  // Such as "[body.email] Invalid email address".
  const named = /^\[body\.(\w+)\]/.exec(error.message ?? "")?.[1];
  if (named !== undefined && fields.includes(named)) return { field: named, message: WANTED[named] ?? WAITING };
  return { field: null, message: generally(error.status, retryAfter) };
}

/** Return what is wrong with the value of an input element, or null. */
export function complaint({ name, minLength, validity }: CheckedInput): Refusal | null {
  if (validity.valid) return null;
  if (validity.tooShort && !validity.patternMismatch) {
    return { field: name, message: `Use at least ${minLength} characters.` };
  }
  return { field: name, message: WANTED[name] ?? "Fill this in." };
}

function generally(status: number, retryAfter: string | null): string {
  if (status === 0) return "This site cannot be reached. Check your connection and try again.";
  if (status === 401) return "Your session has ended. Sign in again to go on.";
  if (status === 429) return `Too many attempts. Try again ${inTime(retryAfter)}.`;
  if (status === 503) return `This site cannot answer at the moment. Try again ${inTime(retryAfter)}.`;
  return WAITING;
}

/** Return the time to wait, in words. The header may also be a date, or missing. */
function inTime(retryAfter: string | null): string {
  const seconds = Math.ceil(Number(retryAfter));
  if (!(seconds > 0)) return "in a moment";
  if (seconds === 1) return "in 1 second";
  if (seconds < 120) return `in ${seconds} seconds`;
  return `in ${Math.ceil(seconds / 60)} minutes`;
}
