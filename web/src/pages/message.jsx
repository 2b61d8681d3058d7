/* Message. */
import { Heading } from "../ui/heading.jsx";

export function Message() {
	return <Heading text="Message" />;
}
