// The questions' names, in the order in which they are asked; each has a file of its name here.

export const questionNames = ["hold", "peers", "hot", "onsale", "sse", "memory", "expiry", "map", "checkout"] as const;
export type QuestionName = (typeof questionNames)[number];
