"use client";

import { authClient } from "@/lib/auth-client";
import { leaveFor } from "@/lib/leave";

import { AccountForm, Field } from "../account-form";

/** The form for a new password, with the token of the link. */
export function ResetPasswordForm({ token }: { token: string }) {
  return (
    <AccountForm
      submitLabel="Save the new password"
      submit={async (field, options) => {
        const { error } = await authClient.resetPassword({ token, newPassword: field("newPassword") }, options);
        return error === null ? leaveFor("/sign-in?reset") : { error };
      }}
    >
      <Field
        name="newPassword"
        label="New password"
        hint="8 to 128 characters. You are signed out on all devices."
        type="password"
        autoComplete="new-password"
        minLength={8}
      />
    </AccountForm>
  );
}
