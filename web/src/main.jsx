/*
 * Starts the console: who is logged in, then the page of the path within the layout. Everything that
 * a page shows comes from /v1 of this gate (api.js) and from its events (live.js).
 */
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { online, session, session_look } from "./api.js";
import { key_press } from "./keys.js";
import { Layout } from "./layout.jsx";
import { live_start, live_stop, on } from "./live.js";
import { Login } from "./pages/login.jsx";
import { pages } from "./pages/pages.js";
import { go, route, route_start, safe_next } from "./router.js";
import { Failed, Loading } from "./ui/notice.jsx";
import { use_state } from "./use.js";

const PING_MS = 3000;

/* While the gate does not answer, asks it whether it is back. */
async function ping() {
	if (online.get() || document.hidden) return;
	try {
		const response = await fetch("/livez", { cache: "no-store", redirect: "error" });
		if (!response.ok) return;
	} catch {
		return;
	}
	if (session.get() === undefined) await session_look().catch(() => {});
	online.set(true);
}

/* The login page keeps where the person wanted to go. */
function guard(who) {
	const { page, path, query } = route.get();
	if (who === null && page !== "login") go(path === "/" ? "/login" : `/login?next=${encodeURIComponent(path)}`, { replace: true });
	if (who && page === "login") go(safe_next(query.next), { replace: true });
	if (who) live_start();
	else live_stop();
}

function App() {
	const who = use_state(session);
	const place = use_state(route);
	const connected = use_state(online);
	useEffect(() => {
		if (who !== undefined) guard(who);
	}, [who, place]);
	if (who === undefined)
		return (
			<main class="start">
				{connected ? <Loading what="Asking the gate who you are" /> : <Failed problem={{ message: "The gate does not answer. Trying again…" }} />}
			</main>
		);
	if (place.page === "login") return <Login />;
	if (who === null) return null;
	const Page = pages[place.page] ?? pages.missing;
	return (
		<Layout page={place.page}>
			<Page key={`${place.page} ${JSON.stringify(place.params)}`} params={place.params} query={place.query} />
		</Layout>
	);
}

route_start();
document.addEventListener("keydown", key_press);
setInterval(ping, PING_MS);
// A session may end while its page does nothing but listen.
on("refused", () => session.get() && session_look().catch(() => {}));
session_look().catch(() => {});
render(<App />, document.getElementById("app"));
