/*
 * A modal <dialog>: the browser keeps the focus in it, Esc closes it, and the focus goes back to what
 * opened it. Render it while it is open; `onClose` is called where the person closes it.
 */
import { useEffect, useId, useRef } from "preact/hooks";

/* `onSubmit`: makes the content a form; `busy`: an answer is awaited, so it stays open. */
export function Dialog({ title, children, actions, onClose, onSubmit, busy = false, wide = false }) {
	const dialog = useRef(null);
	const id = useId();
	useEffect(() => {
		const element = dialog.current;
		const before = document.activeElement;
		element.showModal();
		// Closed first: what is behind an open modal dialog cannot have the focus.
		return () => {
			element.close();
			if (before?.isConnected) before.focus();
		};
	}, []);
	const cancel = (event) => {
		event.preventDefault();
		if (!busy) onClose();
	};
	// A press on the backdrop is one on the dialog itself, outside its content.
	const backdrop = (event) => event.target === dialog.current && !busy && onClose();
	const submit = (event) => {
		event.preventDefault();
		if (!busy) onSubmit?.(event);
	};
	return (
		<dialog
			ref={dialog}
			class={wide ? "wide" : ""}
			aria-labelledby={id}
			aria-busy={busy}
			onCancel={cancel}
			onMouseDown={backdrop}
		>
			<form class="dialog-body" onSubmit={submit} noValidate>
				<h2 id={id}>{title}</h2>
				{children}
				<div class="dialog-actions">
					<button type="button" onClick={onClose} disabled={busy}>
						{actions ? "Cancel" : "Close"}
					</button>
					{actions}
				</div>
			</form>
		</dialog>
	);
}

/* A labelled field of a form; `error` and `hint` are read with it. The child gets id and aria attributes by `children(props)`. */
export function Field({ label, hint, error, children }) {
	const id = useId();
	const described = [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ");
	return (
		<div class="field">
			<label for={id}>{label}</label>
			{children({ id, "aria-describedby": described || undefined, "aria-invalid": error ? "true" : undefined })}
			{hint && (
				<p class="hint" id={`${id}-hint`}>
					{hint}
				</p>
			)}
			{error && (
				<p class="field-error" id={`${id}-error`} role="alert">
					{error}
				</p>
			)}
		</div>
	);
}
