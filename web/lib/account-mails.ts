/**
 * The mails about accounts.
 *
 * They are plain text, and contain no name. Anybody can sign up with another person's address, so a name in a mail would
 * be a way to send that person advertisements.
 */

import type { Mail } from "./mail";

const ONE_HOUR = "The link is valid for one hour.";
const IGNORE = "If you did not ask for this, ignore this message.";

/** A link that proves that the address belongs to the user. */
export function verificationMail(to: string, url: string): Mail {
  return mail(to, "Verify your e-mail address", [
    "Open this link to verify your e-mail address for Tasks:",
    url,
    `${ONE_HOUR} ${IGNORE}`,
  ]);
}

/** The answer to a sign-up with an address that has an account. The page does not tell, so that it reveals no account. */
export function existingAccountMail(to: string, origin: string): Mail {
  return mail(to, "You already have an account", [
    "Somebody tried to create an account at Tasks with your e-mail address, but you have one already. Sign in here:",
    `${origin}/sign-in`,
    "If you forgot your password, choose a new one here:",
    `${origin}/forgotten-password`,
    IGNORE,
  ]);
}

/** A link to the page for a new password. */
export function passwordResetMail(to: string, url: string): Mail {
  return mail(to, "Choose a new password", [
    "Open this link to choose a new password for Tasks:",
    url,
    `${ONE_HOUR} ${IGNORE} Your password stays as it is.`,
  ]);
}

/** A link, sent to the old address, that allows the change to a new one. */
export function emailChangeMail(to: string, newEmail: string, url: string): Mail {
  return mail(to, "Confirm your new e-mail address", [
    `Open this link to change the e-mail address of your account at Tasks to ${newEmail}:`,
    url,
    "After that, we send a link to the new address.",
    `${ONE_HOUR} If you did not ask for this, change your password: somebody else is using your account.`,
  ]);
}

function mail(to: string, subject: string, paragraphs: readonly string[]): Mail {
  return { to, subject, text: `${paragraphs.join("\n\n")}\n` };
}
