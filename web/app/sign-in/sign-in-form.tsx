"use client";

import { useState } from "react";

import { authClient } from "@/lib/auth-client";
import { leaveFor } from "@/lib/leave";

import { AccountForm, Field } from "../account-form";
import { CheckMail } from "../check-mail";

/** The form to sign in. It says what to do if the address has not been verified. */
export function SignInForm() {
  const [unverified, setUnverified] = useState<string | null>(null);

  if (unverified !== null) {
    return (
      <CheckMail address={unverified}>
        Before you can sign in, verify your e-mail address: open the link that we have just sent you.
      </CheckMail>
    );
  }
  return (
    <AccountForm
      submitLabel="Sign in"
      submit={async (field, options) => {
        const email = field("email");
        const { error } = await authClient.signIn.email({ email, password: field("password") }, options);
        if (error === null) return leaveFor("/");
        if (error.code !== "EMAIL_NOT_VERIFIED") return { error };
        setUnverified(email);
        return { error: null };
      }}
    >
      <Field name="email" label="E-mail" type="email" autoComplete="username" />
      <Field name="password" label="Password" type="password" autoComplete="current-password" />
    </AccountForm>
  );
}
