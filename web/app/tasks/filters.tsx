"use client";

import { useEffect, useRef, useState } from "react";

import { PRIORITIES } from "@/lib/task";
import { DUES, EVERYTHING, isFiltered, SEARCH_LIMIT, SORTS, type TaskView } from "@/lib/task-view";

import { SearchIcon } from "./icons";

interface FiltersProps {
  readonly view: TaskView;
  readonly onChange: (changes: Partial<TaskView>) => void;
}

/** Searches of one user run one after the other, so not every letter starts one. */
const TYPING_PAUSE = 300;

/** The search, the filters and the sort. They are in the page's address. */
export function Filters({ view, onChange }: FiltersProps) {
  const [text, setText] = useState(view.search);

  const sent = useRef(text);
  useEffect(() => {
    // Nothing was typed. Sent a moment later, it could take back what a link or "back" leads to.
    if (text === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = text;
      onChange({ search: text });
    }, TYPING_PAUSE);
    return () => clearTimeout(timer);
  }, [text, onChange]);

  // A link has led to another search.
  useEffect(() => {
    if (view.search === sent.current) return;
    sent.current = view.search;
    setText(view.search);
  }, [view.search]);

  function clear() {
    setText("");
    sent.current = "";
    onChange({ ...EVERYTHING, sort: view.sort });
  }

  return (
    <search className="filters">
      <div className="search-field">
        <SearchIcon />
        <input
          id="task-search"
          type="search"
          aria-label="Search tasks"
          placeholder="Search"
          dir="auto"
          maxLength={SEARCH_LIMIT}
          autoComplete="off"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
      </div>
      <div className="chips">
        <label className="chip">
          <input
            id="hide-done"
            type="checkbox"
            checked={view.hideDone}
            onChange={(event) => onChange({ hideDone: event.target.checked })}
          />
          Hide done
        </label>
        <Choice
          label="Priority"
          value={view.priority === null ? "" : String(view.priority)}
          options={[
            ["", "Any priority"],
            ...PRIORITIES.map((name, number) => [String(number), `Priority: ${name}`] as const),
          ]}
          onChoose={(value) => onChange({ priority: value === "" ? null : Number(value) })}
        />
        <Choice
          label="Due"
          value={view.due ?? ""}
          options={[["", "Any due date"], ...DUES]}
          onChoose={(value) => onChange({ due: DUES.find(([due]) => due === value)?.[0] ?? null })}
        />
        <Choice
          label="Sort"
          value={view.sort}
          options={SORTS}
          onChoose={(value) => onChange({ sort: SORTS.find(([sort]) => sort === value)?.[0] ?? EVERYTHING.sort })}
        />
        {isFiltered(view) && (
          <button type="button" className="plain" onClick={clear}>
            Clear filters
          </button>
        )}
      </div>
    </search>
  );
}

interface ChoiceProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [string, string])[];
  readonly onChoose: (value: string) => void;
}

function Choice({ label, value, options, onChoose }: ChoiceProps) {
  return (
    <select aria-label={label} className="chip" value={value} onChange={(event) => onChoose(event.target.value)}>
      {options.map(([option, name]) => (
        <option key={option} value={option}>
          {name}
        </option>
      ))}
    </select>
  );
}
