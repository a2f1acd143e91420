// The frame of a panel: a region with a heading that a screen reader can jump to.
import { type ReactNode, useId } from "react";

export function Panel({ title, name, children, extra }: { title: string; name: string; children: ReactNode; extra?: ReactNode }) {
  const id = useId();
  return (
    <section className={`panel ${name}`} aria-labelledby={id} data-panel={name}>
      <header>
        <h2 id={id}>{title}</h2>
        {extra}
      </header>
      <div className="scroll" tabIndex={0} role="group" aria-labelledby={id}>
        {children}
      </div>
    </section>
  );
}

export function Problem({ text }: { text: string }) {
  return text ? (
    <p className="problem" role="alert">
      {text}
    </p>
  ) : null;
}
