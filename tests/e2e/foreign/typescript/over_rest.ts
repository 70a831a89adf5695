// A caller over REST: `openapi-fetch`, with types that `openapi-typescript` makes of the server's /openapi.json. It reads
// the question from standard input and prints what the server answered, both as JSON.
import createClient from "openapi-fetch";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import type { ReadableStream } from "node:stream/web";

import type { components, paths } from "./generated/openapi.js";

interface Question {
  rest: string;
  model: string;
  picture: string;
  slow: string;
  crowd: number;
}

type Answer = components["schemas"]["whybox.v1.AnalyzeResponse"];
type Problem = components["schemas"]["Problem"];

const asked: Question = JSON.parse(await text(process.stdin));
const client = createClient<paths>({ baseUrl: asked.rest });
const path = { model: asked.model };
// The document says "a string in the format binary", which is a picture's bytes.
const picture = {
  body: readFileSync(asked.picture) as unknown as string,
  bodySerializer: (bytes: unknown) => bytes as BodyInit,
  headers: { "Content-Type": "image/jpeg" },
};

function had<T>(answer: { data?: T; error?: unknown }): T {
  if (answer.data === undefined) throw new Error(JSON.stringify(answer.error));
  return answer.data;
}

async function stream(): Promise<string[]> {
  const lines = had(
    await client.POST("/v1/models/{model}:analyze", {
      ...picture,
      params: { path, query: { method: ["grad_cam", "saliency"] } },
      headers: { ...picture.headers, Accept: "application/x-ndjson" },
      parseAs: "stream",
    }),
  );
  const parts: string[] = [];
  for await (const line of createInterface(Readable.fromWeb(lines as ReadableStream))) {
    const answer: Answer = JSON.parse(line);
    if (answer.prediction) parts.push("prediction");
    parts.push(...(answer.explanations ?? []).map((explanation) => explanation.method ?? ""));
  }
  return parts;
}

function explain(method: string, timeout = 30) {
  const query = { method: [method], quality: ["all" as const], timeout };
  return client.POST("/v1/models/{model}:explain", { ...picture, params: { path, query } });
}

function read(problem: Problem | undefined) {
  if (!problem) return null;
  const { code, reason, errors, retry_after } = problem;
  return { code, reason, fields: errors?.map(({ field }) => field), retry_seconds: retry_after };
}

// Asks for more than the server queues; the answer is the first refusal that says when to come again.
async function crowded(): Promise<ReturnType<typeof read>> {
  return new Promise((resolve) => {
    const all = Array.from({ length: asked.crowd }, async () => {
      const { error } = await explain(asked.slow, 3);
      if (error?.retry_after) resolve(read(error));
    });
    void Promise.all(all).then(() => resolve(null));
  });
}

const first = had(await client.POST("/v1/models/{model}:predict", { ...picture, params: { path } })).prediction?.classes?.[0];
const parts = await stream();
const query = { method: [asked.slow], quality: ["all" as const], timeout: 1 };
const analysis = await client.POST("/v1/models/{model}:analyze", { ...picture, params: { path, query } });
// A string only if the question takes NDJSON.
const late = had(analysis) as Answer;
console.log(
  JSON.stringify({
    call: first,
    stream: parts,
    deadline: { prediction: late.prediction?.status?.code, explanation: late.explanations?.[0]?.status?.code },
    error: read((await explain("tarot")).error),
    busy: await crowded(),
  }),
);
// Requests of the crowd are still in flight.
process.exit();
