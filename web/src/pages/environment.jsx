/* Environment. */
import { Heading } from "../ui/heading.jsx";

export function Environment() {
	return <Heading text="Environment" />;
}
