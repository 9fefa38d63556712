"use client";

import { authClient } from "@/lib/auth-client";

import { AccountForm } from "../account-form";

export function SignInForm() {
  return (
    <AccountForm
      submitLabel="Sign in"
      submit={(fields) =>
        authClient.signIn.email({ email: String(fields.get("email")), password: String(fields.get("password")) })
      }
    >
      {(previous) => (
        <>
          <label>
            E-mail
            <input name="email" type="email" autoComplete="username" required defaultValue={previous("email")} />
          </label>
          <label>
            Password
            <input name="password" type="password" autoComplete="current-password" required />
          </label>
        </>
      )}
    </AccountForm>
  );
}
