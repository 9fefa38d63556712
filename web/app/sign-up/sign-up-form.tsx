"use client";

import { authClient } from "@/lib/auth-client";

import { AccountForm } from "../account-form";

export function SignUpForm() {
  return (
    <AccountForm
      submitLabel="Create account"
      submit={(fields) =>
        authClient.signUp.email({
          name: String(fields.get("name")),
          email: String(fields.get("email")),
          password: String(fields.get("password")),
        })
      }
    >
      {(previous) => (
        <>
          <label>
            Name
            <input name="name" autoComplete="name" required maxLength={100} defaultValue={previous("name")} />
          </label>
          <label>
            E-mail
            <input name="email" type="email" autoComplete="username" required defaultValue={previous("email")} />
          </label>
          <label>
            Password <small>8 to 128 characters</small>
            <input name="password" type="password" autoComplete="new-password" required minLength={8} maxLength={128} />
          </label>
        </>
      )}
    </AccountForm>
  );
}
