import { toNextJsHandler } from "better-auth/next-js";

import { handle } from "@/lib/auth";

export const { GET, POST } = toNextJsHandler(handle);
