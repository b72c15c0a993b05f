(** Set and reset: what a reset restores, and what resets out of order leave. *)
From stdpp Require Import base numbers gmap strings list.
From Coq Require Import Lia.
From Contextvars Require Import Words Bindings State Text Equality Life Machine.
From ContextvarsProofs Require Import Places HamtMap Laws Frame Invariant Tokens Maps Missing.
Local Open Scope N_scope.

Section reset.
  Context {M : Type} `{Lawful M}.
  Context (through_cache : bool).
  Implicit Types (s : state M) (c : N) (t : token).

  (** What a variable is bound to in a context. *)
  Definition binding s c v : option value :=
    match variables s !! v with
    | Some x => find (key_of v x) (ctx_map (context_of s c))
    | None => None
    end.

  Lemma binding_bind th c v x b s : (forall d, good (ctx_map (context_of s d))) -> variables s !! v = Some x -> binding (bind th c v x b s) c v = Some b.
  Proof.
    intros I Hx. unfold binding. destruct (hashes_bind th c v x b s v x Hx) as (y & Hy & Eh). rewrite Hy.
    rewrite context_of_bind, context_of_set_map, decide_True by reflexivity. unfold key_of. rewrite Eh.
    rewrite law_find_assoc by (apply fold_half || apply I). rewrite key_eqb_refl. reflexivity.
  Qed.

  Lemma binding_unbind c v x s : (forall d, good (ctx_map (context_of s d))) -> variables s !! v = Some x -> binding (unbind c v x s) c v = None.
  Proof.
    intros I Hx. unfold binding. destruct (hashes_unbind c v x s v x Hx) as (y & Hy & Eh). rewrite Hy.
    rewrite context_of_unbind, context_of_set_map, decide_True by reflexivity. unfold key_of. rewrite Eh.
    rewrite law_find_without by (apply fold_half || apply I). rewrite key_eqb_refl. reflexivity.
  Qed.

  (** RESET-6, RESET-7, RESET-9: a reset that succeeds leaves exactly what was bound before the token's
      set, whatever happened between. So resets in the reverse order of their sets restore the first
      binding, and resets in another order leave the old value of the last token reset. *)
  Theorem reset_binding th v id t s : inv s -> tokens s !! id = Some t -> (reset th v id t s).2 = Done ->
    binding (reset th v id t s).1 (tok_context t) v = tok_old t.
  Proof.
    intros I Ht. unfold reset. destruct (tok_used t); [discriminate|].
    destruct (N.eqb_spec (tok_variable t) v) as [<- |]; cbn [negb]; [|discriminate].
    pose proof (inv_base_made th s I) as I'. pose proof (tokens_base th s) as Et.
    destruct (current_or_base th s) as [s' c]. cbn [fst] in *.
    destruct (N.eqb_spec (tok_context t) c) as [<- |]; cbn [negb]; [|discriminate].
    destruct (variables s' !! tok_variable t) as [x|] eqn:Hx; [|discriminate].
    assert (forall d, good (ctx_map (context_of (use id t s') d))) as Iu by exact (inv_maps s' I').
    destruct (tok_old t) as [old|].
    - intros _. apply (binding_bind th _ _ x old (use id t s') Iu Hx).
    - destruct (present _); [|discriminate]. intros _. apply (binding_unbind _ _ x (use id t s') Iu Hx).
  Qed.

  (** SET-1, SET-3, SET-4: the token of a set remembers what was bound, and its context. *)
  Theorem set_token th v b id s : (set th v b id s).2 = Done -> 
    tokens (set th v b id s).1 !! id =
      Some (MkToken (current_of th s) v (binding (current_or_base th s).1 (current_of th s) v) false true).
  Proof.
    unfold set, binding. destruct (held_variable s v) as [x|] eqn:Ex; [|discriminate].
    destruct (_ || _); [discriminate|]. apply held_variable_some in Ex. rewrite variables_base, Ex.
    rewrite <- (current_or_base_current th s). destruct (current_or_base th s) as [s' c]. cbn [fst snd]. intros _.
    rewrite tokens_bind. cbn. apply lookup_insert.
  Qed.

  (** SET-1: and the value is bound. *)
  Theorem set_binding th v b id s : inv s -> (set th v b id s).2 = Done ->
    binding (set th v b id s).1 (current_of th s) v = Some b.
  Proof.
    intros I. unfold set. destruct (held_variable s v) as [x|] eqn:Ex; [|discriminate].
    destruct (_ || _); [discriminate|]. apply held_variable_some in Ex. rewrite <- (current_or_base_current th s).
    pose proof (inv_base_made th s I) as I'. pose proof (variables_base th s) as Ev. rewrite <- Ev in Ex.
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *. intros _.
    set (u := set_tokens _ s'). apply (binding_bind th c v x b u); [exact (inv_maps s' I') | exact Ex].
  Qed.

  Lemma current_made th s : current (thread_of (current_or_base th s).1 th) = Some (current_or_base th s).2.
  Proof.
    unfold current_or_base. destruct (current (thread_of s th)) as [c|] eqn:E; [exact E|]. cbn [fst snd].
    rewrite thread_of_put, decide_True by reflexivity. unfold current in *. cbn.
    destruct (th_stack (thread_of s th)); [reflexivity | discriminate].
  Qed.

  Lemma thread_of_bind th c v x b s th' : thread_of (bind th c v x b s) th' = thread_of s th'.
  Proof. unfold bind, fill_cache, set_cache. destruct (variables _ !! v); reflexivity. Qed.

  (** A set and the reset by its token: the reset succeeds, and every context that was there has its
      bindings and their order as before. The frames of both say that nothing else changes but the
      token, the cache and, where there was none, the base context. *)
  Theorem set_then_reset th v b id s : inv s -> (set th v b id s).2 = Done ->
    exists t, tokens (set th v b id s).1 !! id = Some t /\
      (reset th v id t (set th v b id s).1).2 = Done /\
      forall d, d < next_context s ->
        items (ctx_map (context_of (reset th v id t (set th v b id s).1).1 d)) = items (ctx_map (context_of s d)).
  Proof.
    intros I D. eexists. split; [apply set_token, D|]. revert D. unfold set, binding.
    destruct (held_variable s v) as [x|] eqn:Ex; [|discriminate].
    destruct (_ || _); [discriminate|]. apply held_variable_some in Ex. rewrite variables_base, Ex.
    pose proof (inv_base_made th s I) as I'. pose proof (variables_base th s) as Ev. rewrite <- Ev in Ex.
    pose proof (current_made th s) as Ec. rewrite <- (current_or_base_current th s).
    assert (forall d, d < next_context s -> ctx_map (context_of (current_or_base th s).1 d) = ctx_map (context_of s d)) as Em.
    { intros d Hd. unfold current_or_base. destruct (current (thread_of s th)); [reflexivity|]. cbn [fst].
      change (ctx_map (context_of (add_context new_context s) d) = ctx_map (context_of s d)).
      rewrite context_of_add, decide_False by lia. reflexivity. }
    destruct (current_or_base th s) as [s' c]. cbn [fst snd] in *. intros _.
    set (old := find (key_of v x) (ctx_map (context_of s' c))).
    set (u := set_tokens (insert id (MkToken c v old false true)) s').
    set (s1 := bind th c v x b u).
    assert (forall d, ctx_map (context_of s1 d) = if decide (c = d) then assoc (key_of v x) b (ctx_map (context_of s' c)) else ctx_map (context_of s' d)) as E1.
    { intros d. unfold s1. rewrite context_of_bind, context_of_set_map. reflexivity. }
    destruct (hashes_bind th c v x b u v x Ex) as (y & Hy & Eh). fold s1 in Hy.
    assert (key_of v y = key_of v x) as Ek by (unfold key_of; rewrite Eh; reflexivity).
    unfold reset. cbn [tok_used tok_variable tok_context tok_old]. rewrite N.eqb_refl. cbn [negb].
    unfold current_or_base. replace (thread_of s1 th) with (thread_of s' th) by (symmetry; exact (thread_of_bind th c v x b u th)).
    rewrite Ec, N.eqb_refl. cbn [negb]. rewrite Hy, Ek.
    set (w := use id _ s1).
    assert (forall d, context_of w d = context_of s1 d) as Ew by reflexivity.
    assert (good (ctx_map (context_of s' c))) as G by apply (inv_maps s' I').
    destruct old as [o|] eqn:Eo.
    - split; [reflexivity|]. intros d Hd. cbn [fst]. rewrite <- (Em d Hd).
      rewrite context_of_bind, context_of_set_map, Ek. destruct (decide (c = d)) as [<- | Hne].
      + rewrite Ew, E1, decide_True by reflexivity. apply law_rebind; [apply key_of_ok | exact G | exact Eo].
      + rewrite Ew, E1, decide_False by exact Hne. reflexivity.
    - rewrite Ew, E1, decide_True by reflexivity. rewrite law_find_assoc, key_eqb_refl by (apply key_of_ok || exact G).
      cbn [present]. split; [reflexivity|]. intros d Hd. cbn [fst]. rewrite <- (Em d Hd).
      rewrite context_of_unbind, context_of_set_map, Ek. destruct (decide (c = d)) as [<- | Hne].
      + rewrite Ew, E1, decide_True by reflexivity. apply law_unbind; [apply key_of_ok | exact G | exact Eo].
      + rewrite Ew, E1, decide_False by exact Hne. reflexivity.
  Qed.
End reset.
