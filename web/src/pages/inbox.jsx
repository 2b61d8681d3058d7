/* Inbox. */
import { Heading } from "../ui/heading.jsx";

export function Inbox() {
	return <Heading text="Inbox" />;
}
