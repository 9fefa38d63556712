import { describe, expect, it } from "vitest";

import { complaint, explain } from "./account-errors";

const SIGN_IN = ["email", "password"];

describe("explain", () => {
  it("puts a wrong password beside the password", () => {
    const error = { status: 401, code: "INVALID_EMAIL_OR_PASSWORD", message: "Invalid email or password" };
    expect(explain(error, SIGN_IN, null)).toEqual({
      field: "password",
      message: "The e-mail address or the password is wrong.",
    });
  });

  it("puts a password that is too short beside the new one, if the form has one", () => {
    const error = { status: 400, code: "PASSWORD_TOO_SHORT" };
    expect(explain(error, ["password", "newPassword"], null).field).toBe("newPassword");
    expect(explain(error, SIGN_IN, null).field).toBe("password");
  });

  it("never shows a message of Better Auth", () => {
    const errors = [
      { status: 400, code: "VALIDATION_ERROR", message: "[body.email] Invalid email address" },
      { status: 400, code: "VALIDATION_ERROR", message: "[body.unknown] Invalid input" },
      { status: 500, code: "INTERNAL_SERVER_ERROR", message: "Internal Server Error" },
      { status: 418, message: 'relation "user" does not exist' },
    ];
    for (const error of errors) expect(explain(error, SIGN_IN, null).message).not.toContain(error.message);
    expect(explain(errors[0] as (typeof errors)[0], SIGN_IN, null)).toEqual({
      field: "email",
      message: "Enter an e-mail address, such as ada@example.com.",
    });
    expect(explain(errors[1] as (typeof errors)[0], SIGN_IN, null).field).toBeNull();
  });

  it.each([
    ["1", "in 1 second"],
    ["8", "in 8 seconds"],
    ["60", "in 60 seconds"],
    ["121", "in 3 minutes"],
    [null, "in a moment"],
    ["Thu, 26 Nov 2026 12:00:00 GMT", "in a moment"],
  ])("says how long to wait for Retry-After %s", (header, text) => {
    for (const status of [429, 503]) {
      const { field, message } = explain({ status }, SIGN_IN, header);
      expect([field, message.endsWith(`Try again ${text}.`)]).toEqual([null, true]);
    }
  });

  it("tells a lost connection from an error of the site", () => {
    expect(explain({ status: 0 }, SIGN_IN, null).message).toContain("cannot be reached");
    expect(explain({ status: 500 }, SIGN_IN, null).message).toContain("went wrong");
  });
});

describe("complaint", () => {
  const fine = { valid: false, valueMissing: false, patternMismatch: false, typeMismatch: false, tooShort: false };

  it("is null for a valid value", () => {
    expect(complaint({ name: "email", minLength: -1, validity: { ...fine, valid: true } })).toBeNull();
  });

  it("says what to enter", () => {
    const validity = { ...fine, valueMissing: true };
    expect(complaint({ name: "name", minLength: -1, validity })?.message).toBe("Enter your name.");
    expect(complaint({ name: "other", minLength: -1, validity })?.message).toBe("Fill this in.");
  });

  it("says how many characters are needed", () => {
    const validity = { ...fine, tooShort: true };
    expect(complaint({ name: "newPassword", minLength: 8, validity })).toEqual({
      field: "newPassword",
      message: "Use at least 8 characters.",
    });
  });
});
