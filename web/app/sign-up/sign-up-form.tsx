"use client";

import { useState } from "react";

import { authClient } from "@/lib/auth-client";
import { leaveFor } from "@/lib/leave";

import { AccountForm, Field } from "../account-form";
import { CheckMail } from "../check-mail";

/** The form to create an account. If the address must be verified first, it says so. */
export function SignUpForm() {
  const [address, setAddress] = useState<string | null>(null);

  if (address !== null) {
    return (
      <CheckMail address={address}>
        To finish, verify your e-mail address: open the link that we have just sent you. Signing in sends another one.
      </CheckMail>
    );
  }
  return (
    <AccountForm
      submitLabel="Create account"
      submit={async (field, options) => {
        const email = field("email");
        const { data, error } = await authClient.signUp.email(
          { name: field("name").trim(), email, password: field("password") },
          options,
        );
        if (error !== null) return { error };
        if (data.token !== null) return leaveFor("/");
        setAddress(email);
        return { error: null };
      }}
    >
      <Field name="name" label="Name" autoComplete="name" maxLength={100} />
      <Field name="email" label="E-mail" type="email" autoComplete="username" />
      <Field
        name="password"
        label="Password"
        hint="8 to 128 characters"
        type="password"
        autoComplete="new-password"
        minLength={8}
      />
    </AccountForm>
  );
}
