"use client";

import { useState } from "react";

import { authClient } from "@/lib/auth-client";
import { leaveFor } from "@/lib/leave";
import { leaveSession } from "@/lib/sign-out";

import { AccountForm, Field, Username } from "../account-form";

/** The form for another password. It signs the user out on all other devices. */
export function ChangePassword({ email }: { email: string }) {
  const [changed, setChanged] = useState(false);
  return (
    <section className="card" aria-labelledby="password-heading">
      <h2 id="password-heading">Password</h2>
      {changed && <p role="status">Your password is changed, and all other devices are signed out.</p>}
      <AccountForm
        submitLabel="Change the password"
        submit={async (field, options) => {
          setChanged(false);
          const { error } = await authClient.changePassword(
            {
              currentPassword: field("password"),
              newPassword: field("newPassword"),
              // Somebody who knows the old password may be signed in.
              revokeOtherSessions: true,
            },
            options,
          );
          setChanged(error === null);
          return { error };
        }}
      >
        <Username email={email} />
        <Field name="password" label="Current password" type="password" autoComplete="current-password" />
        <Field
          name="newPassword"
          label="New password"
          hint="8 to 128 characters. All other devices are signed out."
          type="password"
          autoComplete="new-password"
          minLength={8}
        />
      </AccountForm>
    </section>
  );
}

interface ChangeEmailProps {
  readonly email: string;
  readonly verified: boolean;
  /** Whether this site sends mail. */
  readonly mail: boolean;
  /** Whether another address replaces this one before it is verified. */
  readonly atOnce: boolean;
}

/** The user's e-mail address: whether it is verified, and a form for another one. */
export function ChangeEmail({ email, verified, mail, atOnce }: ChangeEmailProps) {
  const [current, setCurrent] = useState(email);
  const [message, setMessage] = useState<string | null>(null);
  return (
    <section className="card" aria-labelledby="email-heading">
      <h2 id="email-heading">E-mail address</h2>
      <p>
        <strong>{current}</strong> {mail && (verified ? "(verified)" : "(not verified)")}
      </p>
      {message !== null && <p role="status">{message}</p>}
      {mail && !verified && <SendVerification email={current} />}
      {(mail || atOnce) && (
        <AccountForm
          submitLabel="Change the address"
          submit={async (field, options) => {
            setMessage(null);
            const newEmail = field("newEmail");
            const { error } = await authClient.changeEmail({ newEmail, callbackURL: "/verify-email" }, options);
            if (error !== null) return { error };
            // Better Auth's answer is the same for an address that belongs to another account.
            const { data } = await authClient.getSession();
            const now = data?.user.email ?? current;
            setCurrent(now);
            if (now !== current) setMessage("Your address is changed.");
            else if (atOnce) setMessage(`${newEmail} cannot be used. Try another address.`);
            else setMessage(`To go on, open the link that we have just sent to ${verified ? current : newEmail}.`);
            return { error: null };
          }}
        >
          <Field name="newEmail" label="New e-mail address" type="email" autoComplete="email" />
        </AccountForm>
      )}
    </section>
  );
}

function SendVerification({ email }: { email: string }) {
  const [sent, setSent] = useState(false);
  return (
    <>
      {sent && <p role="status">We have sent a link to {email}. Open it to verify the address.</p>}
      <AccountForm
        submitLabel="Verify this address"
        submit={async (_, options) => {
          const { error } = await authClient.sendVerificationEmail({ email }, options);
          setSent(error === null);
          return { error };
        }}
      />
    </>
  );
}

/** The form that deletes the account, out of sight until it is wanted. The password confirms it. */
export function DeleteAccount({ email }: { email: string }) {
  return (
    <details className="card">
      <summary>Delete your account</summary>
      <p>This deletes your account and all of your tasks, on every device. It cannot be undone.</p>
      <AccountForm
        danger
        submitLabel="Delete my account and my tasks"
        submit={async (field, options) => {
          const { error } = await authClient.deleteUser({ password: field("password") }, options);
          if (error !== null) return { error };
          leaveSession();
          return leaveFor("/?deleted");
        }}
      >
        <Username email={email} />
        <Field name="password" label="Password" type="password" autoComplete="current-password" />
      </AccountForm>
    </details>
  );
}
