/* Logs in with a token of the tokens file; the cookie that comes of it is not readable for scripts. */
import { useEffect, useRef, useState } from "preact/hooks";
import { session_begin, session_over } from "../api.js";
import { Field } from "../ui/dialog.jsx";
import { Notice } from "../ui/notice.jsx";
import { use_state } from "../use.js";

/* The token as it is typed, and the login with it. */
function use_login(input) {
	const [token, set_token] = useState("");
	const [error, set_error] = useState("");
	const [busy, set_busy] = useState(false);
	const change = (value) => {
		set_token(value);
		set_error("");
	};
	const submit = async (event) => {
		event.preventDefault();
		if (busy) return;
		if (token.trim() === "") {
			set_error("Give the token; mailfuse token makes one.");
			return;
		}
		set_busy(true);
		try {
			await session_begin(token.trim());
		} catch (problem) {
			set_error(problem.status === 401 ? "No such token: it was mistyped, replaced or deleted." : problem.message);
			set_busy(false);
			input.current?.select();
		}
	};
	return { token, change, error, busy, submit };
}

export function Login() {
	const input = useRef(null);
	const { token, change, error, busy, submit } = use_login(input);
	const over = use_state(session_over);
	useEffect(() => {
		document.title = "Log in - mailfuse";
		input.current.focus();
	}, []);
	return (
		<main class="login">
			<form onSubmit={submit} noValidate>
				<h1>mailfuse</h1>
				{over ? (
					<Notice tone="warn">Your session is over. Log in, and you are back where you were.</Notice>
				) : (
					<p>Outgoing mail, before it is too late.</p>
				)}
				{/* Managers of passwords want a name beside the secret. */}
				<input class="hidden" type="text" autocomplete="username" value="mailfuse" readOnly tabIndex={-1} aria-hidden="true" />
				<Field label="Token" error={error} hint="Who runs the gate makes it with: mailfuse token NAME --role operator">
					{(p) => (
						<input
							{...p}
							ref={input}
							type="password"
							autocomplete="current-password"
							spellcheck={false}
							autocapitalize="off"
							value={token}
							onInput={(e) => change(e.currentTarget.value)}
						/>
					)}
				</Field>
				<button type="submit" class="primary" disabled={busy}>
					{busy ? "Logging in…" : "Log in"}
				</button>
			</form>
		</main>
	);
}
