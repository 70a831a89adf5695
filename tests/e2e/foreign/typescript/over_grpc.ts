// A caller over gRPC: `@grpc/grpc-js`, with types that `@grpc/proto-loader` makes of protos/. It reads the question from
// standard input and prints what the server answered, both as JSON.
import * as grpc from "@grpc/grpc-js";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";
import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";

import type { ProtoGrpcType } from "./generated/analysis.js";
import type { BadRequest__Output } from "./generated/google/rpc/BadRequest.js";
import type { ErrorInfo__Output } from "./generated/google/rpc/ErrorInfo.js";
import type { RetryInfo__Output } from "./generated/google/rpc/RetryInfo.js";
import type { Status__Output } from "./generated/google/rpc/Status.js";
import type { AnalyzeRequest } from "./generated/whybox/v1/AnalyzeRequest.js";
import type { AnalyzeResponse__Output } from "./generated/whybox/v1/AnalyzeResponse.js";

interface Question {
  grpc: string;
  model: string;
  picture: string;
  slow: string;
  crowd: number;
  protos: string[];
}

interface Failure {
  code: string;
  reason?: string;
  fields?: string[];
  retry_seconds?: number;
}

const asked: Question = JSON.parse(await text(process.stdin));
const definitions = loadSync(["whybox/v1/analysis.proto", "google/rpc/status.proto", "google/rpc/error_details.proto"], {
  includeDirs: asked.protos,
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});
const { whybox } = grpc.loadPackageDefinition(definitions) as unknown as ProtoGrpcType;
const client = new whybox.v1.AnalysisService(asked.grpc, grpc.credentials.createInsecure());
const predicting: AnalyzeRequest = { model: asked.model, image: readFileSync(asked.picture), prediction: {} };
const slow: AnalyzeRequest = { ...predicting, prediction: null, explanations: [{ method: asked.slow, quality: ["all"] }] };

function analyze(request: AnalyzeRequest, seconds = 30): Promise<AnalyzeResponse__Output> {
  return new Promise((resolve, reject) => {
    client.Analyze(request, { deadline: Date.now() + 1000 * seconds }, (error, answer) =>
      answer ? resolve(answer) : reject(error),
    );
  });
}

async function stream(): Promise<string[]> {
  const request = { ...predicting, explanations: [{ method: "grad_cam" }, { method: "saliency" }] };
  const parts: string[] = [];
  for await (const each of client.StreamAnalysis(request, { deadline: Date.now() + 30_000 })) {
    const answer: AnalyzeResponse__Output = each;
    if (answer.prediction) parts.push("prediction");
    parts.push(...answer.explanations.map((explanation) => explanation.method));
  }
  return parts;
}

async function failure(call: Promise<AnalyzeResponse__Output>): Promise<Failure | null> {
  try {
    await call;
    return null;
  } catch (error) {
    return read(error as grpc.ServiceError);
  }
}

function read(error: grpc.ServiceError): Failure {
  const found: Failure = { code: grpc.status[error.code] };
  const [sent] = error.metadata.get("grpc-status-details-bin");
  if (!Buffer.isBuffer(sent)) return found;
  for (const { type_url, value } of decoded<Status__Output>("google.rpc.Status", sent).details) {
    switch (type_url) {
      case "type.googleapis.com/google.rpc.ErrorInfo":
        found.reason = decoded<ErrorInfo__Output>("google.rpc.ErrorInfo", value).reason;
        break;
      case "type.googleapis.com/google.rpc.BadRequest":
        found.fields = decoded<BadRequest__Output>("google.rpc.BadRequest", value).field_violations.map(({ field }) => field);
        break;
      case "type.googleapis.com/google.rpc.RetryInfo": {
        const delay = decoded<RetryInfo__Output>("google.rpc.RetryInfo", value).retry_delay;
        found.retry_seconds = Number(delay?.seconds) + (delay?.nanos ?? 0) / 1e9;
      }
    }
  }
  return found;
}

function decoded<T>(name: string, bytes: Buffer): T {
  return (definitions[name] as MessageTypeDefinition<object, object>).deserialize(bytes) as T;
}

// Asks for more than the server queues; the answer is the first refusal that says when to come again.
async function crowded(): Promise<Failure | null> {
  return new Promise((resolve) => {
    const all = Array.from({ length: asked.crowd }, async () => {
      const found = await failure(analyze(slow, 3));
      if (found?.retry_seconds) resolve(found);
    });
    void Promise.all(all).then(() => resolve(null));
  });
}

const first = (await analyze(predicting)).prediction?.classes[0];
const parts = await stream();
const late = await analyze({ ...slow, prediction: {} }, 1);
console.log(
  JSON.stringify({
    call: first,
    stream: parts,
    deadline: {
      prediction: grpc.status[late.prediction?.status?.code ?? 0],
      explanation: grpc.status[late.explanations[0]?.status?.code ?? 0],
    },
    error: await failure(analyze({ ...predicting, explanations: [{ method: "tarot" }] })),
    busy: await crowded(),
  }),
);
// Calls of the crowd are still in flight.
client.close();
process.exit();
