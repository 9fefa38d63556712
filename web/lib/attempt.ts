import { type AuthError, explain, type Refusal } from "./account-errors";

/** Options for a call of Better Auth's client. Pass them on, so that the headers of an error can be read. */
export interface CallOptions {
  readonly onError: (context: { readonly response: Response }) => void;
}

/** A call of Better Auth's client. */
export type Call = (options: CallOptions) => Promise<{ readonly error: AuthError | null }>;

/** Call Better Auth. Return null if it succeeded, and otherwise the reason for the user. */
export async function attempt(call: Call, fields: readonly string[] = []): Promise<Refusal | null> {
  let retryAfter: string | null = null;
  const onError: CallOptions["onError"] = ({ response: { headers } }) => {
    retryAfter = headers.get("Retry-After") ?? headers.get("X-Retry-After");
  };
  // The client throws only if there is no response.
  const { error } = await call({ onError }).catch(() => ({ error: { status: 0 } }));
  return error === null ? null : explain(error, fields, retryAfter);
}
