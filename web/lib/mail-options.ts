/** Better Auth's options for what it does by mail, and for what it does instead without a mail server. */

import type { BetterAuthOptions } from "better-auth";

import { emailChangeMail, existingAccountMail, passwordResetMail, verificationMail } from "./account-mails";
import type { Environment } from "./environment";
import { sendLater } from "./mail";

interface MailOptions {
  readonly emailAndPassword: Omit<NonNullable<BetterAuthOptions["emailAndPassword"]>, "enabled">;
  readonly emailVerification: NonNullable<BetterAuthOptions["emailVerification"]>;
  readonly changeEmail: NonNullable<NonNullable<BetterAuthOptions["user"]>["changeEmail"]>;
}

type Chosen = Pick<Environment, "origin" | "mail" | "verificationRequired">;

/** The page that a link to verify an address leads to. */
const VERIFIED = "/verify-email";

/** Return the options. They send mail only if the settings have a mail server. */
export function mailOptions({ origin, mail, verificationRequired }: Chosen): MailOptions {
  // Without mail, an address is changed at once: nothing could be sent to the old or the new one.
  if (mail === undefined) {
    return {
      emailAndPassword: {},
      emailVerification: {},
      changeEmail: { enabled: true, updateEmailWithoutVerification: true },
    };
  }
  return {
    emailAndPassword: {
      // Until then, an account could be in the name of somebody else.
      requireEmailVerification: verificationRequired,
      sendResetPassword: async ({ user, url }) => sendLater(passwordResetMail(user.email, url)),
      // The page says the same as for a new account, so that it does not reveal who has one.
      onExistingUserSignUp: async ({ user }) => sendLater(existingAccountMail(user.email, origin)),
    },
    emailVerification: {
      sendOnSignUp: true,
      // To get another link, the user signs in again.
      sendOnSignIn: verificationRequired,
      // Somebody else may have created the account, and know its password. A person who only opens the link must not
      // be signed in to it.
      autoSignInAfterVerification: false,
      sendVerificationEmail: async ({ user, url }) => sendLater(verificationMail(user.email, leadingTo(VERIFIED, url))),
    },
    changeEmail: {
      enabled: true,
      updateEmailWithoutVerification: !verificationRequired,
      // The old address must agree: otherwise a session left open would be enough to take the account over.
      sendChangeEmailConfirmation: async ({ user, newEmail, url }) =>
        sendLater(emailChangeMail(user.email, newEmail, leadingTo(`${VERIFIED}?confirmed`, url))),
    },
  };
}

/** Return Better Auth's link, with the page that it leads to. Clients without a browser name none. */
function leadingTo(page: string, url: string): string {
  const link = new URL(url);
  link.searchParams.set("callbackURL", page);
  return link.href;
}
