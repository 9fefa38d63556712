/** Send mail through the SMTP server of the settings. */

import { after } from "next/server";
import { createTransport } from "nodemailer";

import { environment, type MailSettings } from "./environment";

export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

const PATIENCE_MILLISECONDS = 10_000;

/**
 * Send a mail once the response to the current request is complete.
 *
 * The response therefore takes equally long whether an address has an account or not, and a slow mail server delays
 * no page. A mail that cannot be sent is logged without its recipient; the user asks for another one.
 */
export function sendLater(mail: Mail): void {
  const { mail: settings } = environment();
  if (settings === undefined) throw new Error("mail: SMTP_URL is not set");
  after(() =>
    send(mail, settings).catch((error: Error & { code?: string }) => {
      console.error(`web: a mail could not be sent (${error.code ?? error.name}): check SMTP_URL and MAIL_FROM`);
    }),
  );
}

async function send(mail: Mail, { server, from }: MailSettings): Promise<void> {
  const transport = createTransport({
    host: server.host,
    port: server.port,
    secure: server.secure,
    // Otherwise somebody on the way could take STARTTLS out of the conversation, and read the links.
    requireTLS: !server.secure && !server.plain,
    ignoreTLS: server.plain,
    ...(server.account !== undefined && { auth: server.account }),
    connectionTimeout: PATIENCE_MILLISECONDS,
    greetingTimeout: PATIENCE_MILLISECONDS,
    socketTimeout: PATIENCE_MILLISECONDS,
    // Mails are text only, and must never include a file or a page.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  // RFC 3834: no automatic replies, such as "out of office".
  await transport.sendMail({ ...mail, from, headers: { "Auto-Submitted": "auto-generated" } });
}
