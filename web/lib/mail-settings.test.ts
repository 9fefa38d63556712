import { describe, expect, it } from "vitest";

import { sender, smtpServer } from "./mail-settings";

describe("smtpServer", () => {
  it("requires STARTTLS on the submission port", () => {
    expect(smtpServer("smtp://mail.example.com")).toEqual({
      host: "mail.example.com",
      port: 587,
      secure: false,
      plain: false,
      account: undefined,
    });
  });

  it("begins with TLS for smtps", () => {
    expect(smtpServer("smtps://mail.example.com/")).toMatchObject({ port: 465, secure: true, plain: false });
  });

  it.each(["smtp://localhost:2525", "smtp://127.0.0.1:2525", "smtp://[::1]:2525"])("sends plainly to %s", (url) => {
    expect(smtpServer(url)).toMatchObject({ port: 2525, plain: true });
  });

  it("does not take a name that begins like this machine for this machine", () => {
    expect(smtpServer("smtp://localhost.example.com").plain).toBe(false);
    expect(smtpServer("smtps://localhost").plain).toBe(false);
  });

  it("decodes the account", () => {
    expect(smtpServer("smtp://ada%40example.com:p%3Aw@mail.example.com").account).toEqual({
      user: "ada@example.com",
      pass: "p:w",
    });
  });

  it.each([
    ["mail.example.com", "smtp://"],
    ["https://mail.example.com", "smtp://"],
    ["smtp://", "host"],
    ["smtp://mail.example.com/inbox", "path"],
    ["smtp://mail.example.com?secure=false", "parameters"],
    ["smtp://ada@mail.example.com", "password"],
    ["smtp://ada:%zz@mail.example.com", "%XX"],
  ])("refuses %s without repeating it", (url, reason) => {
    const parse = () => smtpServer(url);
    expect(parse).toThrow(RangeError);
    expect(parse).toThrow(reason);
    expect(parse).not.toThrow("example.com");
  });
});

describe("sender", () => {
  it.each(["tasks@example.com", "Tasks <tasks@example.com>", "Die Aufgaben <a@b>"])("accepts %s", (text) => {
    expect(sender(text)).toBe(text);
  });

  it.each(["tasks", "Tasks", "<tasks@example.com>", "a@b, c@d", "Tasks <a@b> <c@d>", "Tasks\nBcc: <x@y>", "a b@c"])(
    "refuses %j",
    (text) => {
      expect(() => sender(text)).toThrow("must be an e-mail address");
    },
  );
});
