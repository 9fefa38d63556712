"use client";

import { useState } from "react";

import { authClient } from "@/lib/auth-client";

import { AccountForm, Field } from "../account-form";
import { CheckMail } from "../check-mail";

/** The form that sends a link for a new password. It does not tell whether the address has an account. */
export function ForgottenPasswordForm() {
  const [address, setAddress] = useState<string | null>(null);

  if (address !== null) {
    return (
      <CheckMail address={address}>
        If this address has an account, we have just sent it a link to choose a new password.
      </CheckMail>
    );
  }
  return (
    <AccountForm
      submitLabel="Send a link"
      submit={async (field, options) => {
        const email = field("email");
        const { error } = await authClient.requestPasswordReset({ email, redirectTo: "/reset-password" }, options);
        if (error === null) setAddress(email);
        return { error };
      }}
    >
      <Field name="email" label="E-mail" hint="We send a link to this address." type="email" autoComplete="username" />
    </AccountForm>
  );
}
