/** The icons of the task page. They are decoration: the controls beside them have names. */

function Icon({ path }: { path: string }) {
  return (
    <svg aria-hidden="true" className="icon" viewBox="0 0 24 24">
      <path d={path} />
    </svg>
  );
}

export const PlusIcon = () => <Icon path="M12 5v14M5 12h14" />;

export const TrashIcon = () => <Icon path="M4 7h16M10 11v6M14 11v6M6 7l1 13h10l1-13M9 7V4h6v3" />;

export const SearchIcon = () => <Icon path="M17.5 11a6.5 6.5 0 1 1-13 0a6.5 6.5 0 0 1 13 0M16 16l4.5 4.5" />;

export const CalendarIcon = () => <Icon path="M4 6h16v14H4zM4 10h16M8.5 3v4M15.5 3v4" />;

export const FlagIcon = () => <Icon path="M6 21V4M6 5h12l-3 4 3 4H6" />;
