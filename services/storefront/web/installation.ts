// What this installation tells its pages: how cards are taken here, and where operators look.
import { useQuery } from "@tanstack/react-query";

export interface Installation {
  readonly stripePublishableKey?: string;
  readonly cardPageUrl?: string;
  readonly temporalUiUrl?: string;
}

export function useInstallation() {
  return useQuery({
    queryKey: ["installation"],
    queryFn: async ({ signal }): Promise<Installation> => {
      const response = await fetch("/installation.json", { signal });
      if (!response.ok) throw new Error("the page's own settings can't be had");
      return (await response.json()) as Installation;
    },
    staleTime: Number.POSITIVE_INFINITY,
  });
}
