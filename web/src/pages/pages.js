/* The page of each route of router.js. */
import { Alerts } from "./alerts.jsx";
import { Audit } from "./audit.jsx";
import { Batch } from "./batch.jsx";
import { Environment } from "./environment.jsx";
import { Inbox } from "./inbox.jsx";
import { Message } from "./message.jsx";
import { Missing } from "./missing.jsx";
import { Overview } from "./overview.jsx";
import { Settings } from "./settings.jsx";

export const pages = {
	overview: Overview,
	batch: Batch,
	message: Message,
	environment: Environment,
	inbox: Inbox,
	audit: Audit,
	settings: Settings,
	alerts: Alerts,
	missing: Missing,
};
