/* Overview. */
import { Heading } from "../ui/heading.jsx";

export function Overview() {
	return <Heading text="Overview" />;
}
