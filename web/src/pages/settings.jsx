/* Settings. */
import { Heading } from "../ui/heading.jsx";

export function Settings() {
	return <Heading text="Settings" />;
}
