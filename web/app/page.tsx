import Link from "next/link";

import { environment } from "@/lib/environment";
import { currentSession } from "@/lib/session";

import { Bar } from "./bar";
import { TaskPage } from "./tasks/task-page";

interface HomePageProps {
  readonly searchParams: Promise<Record<string, string | string[] | undefined>>;
}

export default async function HomePage({ searchParams }: HomePageProps) {
  const session = await currentSession();

  if (session === null) {
    const { deleted } = await searchParams;
    return (
      <main className="welcome">
        <h1>Tasks</h1>
        {deleted !== undefined && <p role="status">Your account and all of its tasks are deleted.</p>}
        <p>A task list of your own, wherever you sign in.</p>
        <p className="actions">
          <Link className="button primary" href="/sign-up">
            Create an account
          </Link>
          <Link className="button" href="/sign-in">
            Sign in
          </Link>
        </p>
      </main>
    );
  }

  return (
    <>
      <Bar user={session.user} />
      <main>
        <TaskPage serviceOrigin={environment().serviceOrigin} user={session.user.id} />
      </main>
    </>
  );
}
